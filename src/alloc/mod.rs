//! Numbers: ranges, segments, the roaring bitmap of used offsets.

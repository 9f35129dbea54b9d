//! A byte stream cut into lines, as watches send them.

/// Longest line that is kept, in bytes: far above the largest object that a server stores.
const LONGEST: usize = 64 << 20;

/// Bytes that have come and are not taken yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Everything before was taken.
    start: usize,
    /// No line ends between `start` and here.
    searched: usize,
}

impl Lines {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            (self.start, self.searched) = (0, 0);
        } else if self.start > 1 << 16 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole line, without its end. What stands after the last end of a line is kept: it is a line only once its
    /// end has come.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        loop {
            let Some(length) = self.buffer[self.searched..]
                .iter()
                .position(|b| *b == b'\n')
            else {
                self.searched = self.buffer.len();
                return None;
            };
            let line = self.start..self.searched + length;
            self.start = line.end + 1;
            self.searched = self.start;
            if !self.buffer[line.clone()]
                .iter()
                .all(u8::is_ascii_whitespace)
            {
                return Some(&self.buffer[line]);
            }
        }
    }

    pub(super) fn is_too_long(&self) -> bool {
        self.buffer.len() - self.start > LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_whole_however_the_bytes_come_in() {
        let text = "one\n\ntwo\r\nthree is longer\nfour without an end";
        for size in 1..=text.len() {
            let mut lines = Lines::default();
            let mut out = Vec::new();
            for chunk in text.as_bytes().chunks(size) {
                lines.push(chunk);
                out.extend(std::iter::from_fn(|| lines.next().map(<[u8]>::to_vec)));
            }
            let want: [&[u8]; 3] = [b"one", b"two\r", b"three is longer"];
            assert_eq!(out, want, "in chunks of {size}");
        }
    }

    #[test]
    fn a_long_stream_does_not_grow_the_buffer() {
        let mut lines = Lines::default();
        let line = [b"x".repeat(1000), b"\n".to_vec()].concat();
        lines.push(b"begun");
        for _ in 0..10_000 {
            lines.push(&line);
            while lines.next().is_some() {}
            lines.push(b"begun");
        }
        assert!(lines.buffer.capacity() < 1 << 20);
        assert!(!lines.is_too_long());
    }
}

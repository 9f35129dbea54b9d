//! The protobuf format of a scrape: `io.prometheus.client.MetricFamily`, one after the other, each behind its length. It alone
//! carries native histograms.

use prometheus::Registry;
use prometheus::proto;
use prost::Message;

use super::counted::NATIVE;
use super::native::{Native, Natives, SCHEMA, ZERO};

/// The type of what [`encoded`] makes.
pub const CONTENT_TYPE: &str =
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";

// Fields and numbers of Prometheus' metrics.proto, as far as there are such metrics here.

#[derive(Message)]
struct MetricFamily {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    help: Option<String>,
    #[prost(int32, optional, tag = "3")]
    kind: Option<i32>,
    #[prost(message, repeated, tag = "4")]
    metric: Vec<Metric>,
}

#[derive(Message)]
struct Metric {
    #[prost(message, repeated, tag = "1")]
    label: Vec<LabelPair>,
    #[prost(message, optional, tag = "2")]
    gauge: Option<Value>,
    #[prost(message, optional, tag = "3")]
    counter: Option<Value>,
    #[prost(message, optional, tag = "7")]
    histogram: Option<Histogram>,
}

#[derive(Message)]
struct LabelPair {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "2")]
    value: Option<String>,
}

/// A Gauge or a Counter.
#[derive(Message)]
struct Value {
    #[prost(double, optional, tag = "1")]
    value: Option<f64>,
}

#[derive(Message)]
struct Histogram {
    #[prost(uint64, optional, tag = "1")]
    sample_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    sample_sum: Option<f64>,
    #[prost(message, repeated, tag = "3")]
    bucket: Vec<Bucket>,
    #[prost(sint32, optional, tag = "5")]
    schema: Option<i32>,
    #[prost(double, optional, tag = "6")]
    zero_threshold: Option<f64>,
    #[prost(uint64, optional, tag = "7")]
    zero_count: Option<u64>,
    #[prost(message, repeated, tag = "12")]
    positive_span: Vec<BucketSpan>,
    #[prost(sint64, repeated, packed = "false", tag = "13")]
    positive_delta: Vec<i64>,
}

#[derive(Message)]
struct Bucket {
    #[prost(uint64, optional, tag = "1")]
    cumulative_count: Option<u64>,
    #[prost(double, optional, tag = "2")]
    upper_bound: Option<f64>,
}

/// Buckets side by side.
#[derive(Message)]
struct BucketSpan {
    /// From the end of the span before; of the first one its number.
    #[prost(sint32, optional, tag = "1")]
    offset: Option<i32>,
    #[prost(uint32, optional, tag = "2")]
    length: Option<u32>,
}

/// What the registry holds now, with the native histograms beside the classic ones.
pub fn encoded(registry: &Registry, natives: &Natives) -> Vec<u8> {
    let mut out = Vec::new();
    for family in registry.gather() {
        let family = message(&family, natives);
        out.extend(family.encode_length_delimited_to_vec());
    }
    out
}

fn message(family: &proto::MetricFamily, natives: &Natives) -> MetricFamily {
    let kind = family.get_field_type();
    let metric = |metric: &proto::Metric| {
        let labels = metric.get_label().iter();
        let value = |value: f64| Some(Value { value: Some(value) });
        let mut message = Metric {
            label: labels
                .clone()
                .map(|label| LabelPair {
                    name: Some(label.name().to_owned()),
                    value: Some(label.value().to_owned()),
                })
                .collect(),
            gauge: None,
            counter: None,
            histogram: None,
        };
        match kind {
            proto::MetricType::GAUGE => message.gauge = value(metric.get_gauge().get_value()),
            proto::MetricType::COUNTER => message.counter = value(metric.get_counter().get_value()),
            proto::MetricType::HISTOGRAM => {
                let pairs = labels.map(|label| (label.name(), label.value()));
                let nothing = || NATIVE.contains(&family.name()).then(Native::default);
                let native = natives.of(family.name(), &pairs).or_else(nothing);
                message.histogram = Some(histogram(metric.get_histogram(), native.as_ref()));
            }
            // There are none of these here.
            proto::MetricType::SUMMARY | proto::MetricType::UNTYPED => {}
        }
        message
    };
    MetricFamily {
        name: Some(family.name().to_owned()),
        help: Some(family.help().to_owned()),
        kind: Some(match kind {
            proto::MetricType::COUNTER => 0,
            proto::MetricType::GAUGE => 1,
            proto::MetricType::SUMMARY => 2,
            proto::MetricType::UNTYPED => 3,
            proto::MetricType::HISTOGRAM => 4,
        }),
        metric: family.get_metric().iter().map(metric).collect(),
    }
}

fn histogram(classic: &proto::Histogram, native: Option<&Native>) -> Histogram {
    let buckets = classic.get_bucket().iter().map(|bucket| Bucket {
        cumulative_count: Some(bucket.cumulative_count()),
        upper_bound: Some(bucket.upper_bound()),
    });
    let mut histogram = Histogram {
        sample_count: Some(classic.get_sample_count()),
        sample_sum: Some(classic.get_sample_sum()),
        bucket: buckets.collect(),
        schema: None,
        zero_threshold: None,
        zero_count: None,
        positive_span: Vec::new(),
        positive_delta: Vec::new(),
    };
    if let Some(native) = native {
        // Counted a moment apart; count and buckets of one histogram must agree.
        histogram.sample_count = Some(native.count);
        histogram.sample_sum = Some(native.sum);
        histogram.schema = Some(SCHEMA);
        histogram.zero_threshold = Some(ZERO);
        histogram.zero_count = Some(native.zero);
        (histogram.positive_span, histogram.positive_delta) = spans(native);
    }
    histogram
}

/// The buckets as Prometheus takes them: spans of neighbours, and each count as what it has more than the one before.
fn spans(native: &Native) -> (Vec<BucketSpan>, Vec<i64>) {
    let (mut spans, mut deltas) = (Vec::<BucketSpan>::new(), Vec::new());
    let (mut end, mut before) = (0, 0);
    for (number, count) in &native.buckets {
        match spans.last_mut() {
            Some(span) if *number == end => span.length = span.length.map(|length| length + 1),
            Some(_) | None => spans.push(BucketSpan {
                offset: Some(number - end),
                length: Some(1),
            }),
        }
        end = number + 1;
        let count = i64::try_from(*count).unwrap_or(i64::MAX);
        deltas.push(count - before);
        before = count;
    }
    if spans.is_empty() {
        // Without a span it would count as a classic one.
        spans.push(BucketSpan {
            offset: Some(0),
            length: Some(0),
        });
    }
    (spans, deltas)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_span_and_counts_are_differences() {
        let native = Native {
            buckets: [(-3, 2), (-2, 5), (4, 1)].into(),
            ..Native::default()
        };
        let (found, deltas) = spans(&native);
        let found: Vec<_> = found.iter().map(|s| (s.offset(), s.length())).collect();
        assert_eq!(found, [(-3, 2), (5, 1)]);
        assert_eq!(deltas, [2, 3, -4]);
        let (none, deltas) = spans(&Native::default());
        assert_eq!((none[0].length(), deltas), (0, Vec::new()));
    }
}

//! Pictures of a run's distributions as coordinates, which `page.html` draws as SVG. No I/O.

use std::time::Duration;

use serde::Serialize;

/// Width of a picture, of its margins, and the height of a row of dots, in SVG units.
const WIDTH: f64 = 720.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 20.0;
const ROW: f64 = 30.0;
/// Height of the curves' field, and the room for the labels below a field.
const FIELD: f64 = 240.0;
const BELOW: f64 = 26.0;
const ABOVE: f64 = 8.0;

/// One side's figures in a picture.
#[derive(Debug, Clone, Copy)]
pub(super) struct Series<'a, T> {
    pub(super) name: &'a str,
    pub(super) figures: &'a [T],
}

/// A mark of an axis.
#[derive(Debug, PartialEq, Serialize)]
struct Tick {
    at: f64,
    label: String,
}

/// A row of dots for each side, one dot a round.
#[derive(Debug, Serialize)]
pub(super) struct Dots {
    width: f64,
    height: f64,
    bottom: f64,
    ticks: Vec<Tick>,
    rows: Vec<DotRow>,
}

#[derive(Debug, Serialize)]
struct DotRow {
    name: String,
    y: f64,
    dots: Vec<Tick>,
}

/// A curve for each side: which share of the claims took at most so long.
#[derive(Debug, Serialize)]
pub(super) struct Curves {
    width: f64,
    height: f64,
    left: f64,
    bottom: f64,
    ticks: Vec<Tick>,
    shares: Vec<Tick>,
    curves: Vec<Curve>,
}

#[derive(Debug, Serialize)]
struct Curve {
    name: String,
    /// As SVG's polylines have them.
    points: String,
}

/// One dot a round, on an axis that begins at zero.
pub(super) fn dots(series: &[Series<f64>]) -> Dots {
    let all = series.iter().flat_map(|side| side.figures).copied();
    let most = all.fold(0.0, f64::max);
    let step = step(most);
    let end = (most / step).ceil().max(1.0) * step;
    let x = |figure: f64| tenths(LEFT + (WIDTH - LEFT - RIGHT) * figure / end);
    let tick = |figure: f64| Tick {
        at: x(figure),
        label: format!("{figure}"),
    };
    let marks = (0_u8..).map(|n| f64::from(n) * step);
    let rows = series.iter().zip(0_u8..).map(|(side, n)| DotRow {
        name: side.name.to_owned(),
        y: ABOVE + ROW * (f64::from(n) + 0.5),
        dots: side
            .figures
            .iter()
            .map(|figure| Tick {
                at: x(*figure),
                label: format!("{figure:.1}"),
            })
            .collect(),
    });
    let bottom = ABOVE + ROW * series.len() as f64;
    Dots {
        width: WIDTH,
        height: bottom + BELOW,
        bottom,
        ticks: marks.take_while(|mark| *mark <= end).map(tick).collect(),
        rows: rows.collect(),
    }
}

/// Quantiles as curves, on an axis of times in which each power of ten is as wide. The first quantile is the least time, the last
/// one the longest.
pub(super) fn curves(series: &[Series<Duration>]) -> Curves {
    let log = |time: &Duration| time.as_secs_f64().max(1e-5).log10();
    let all = || series.iter().flat_map(|side| side.figures).map(log);
    let from = all().fold(f64::INFINITY, f64::min).min(0.0).floor();
    let to = all()
        .fold(f64::NEG_INFINITY, f64::max)
        .max(from + 1.0)
        .ceil();
    let x = |log: f64| tenths(LEFT + (WIDTH - LEFT - RIGHT) * (log - from) / (to - from));
    let y = |share: f64| tenths(ABOVE + FIELD * (1.0 - share));
    let curve = |side: &Series<Duration>| {
        let last = side.figures.len().saturating_sub(1).max(1) as f64;
        let points = side.figures.iter().enumerate();
        let points = points.map(|(n, time)| format!("{},{}", x(log(time)), y(n as f64 / last)));
        Curve {
            name: side.name.to_owned(),
            points: points.collect::<Vec<_>>().join(" "),
        }
    };
    let powers = (-5_i8..).map(f64::from).skip_while(|power| *power < from);
    let powers = powers.take_while(|power| *power <= to);
    let shares = [0.0, 0.25, 0.5, 0.75, 1.0].map(|share| Tick {
        at: y(share),
        label: format!("{} %", share * 100.0),
    });
    Curves {
        width: WIDTH,
        height: ABOVE + FIELD + BELOW,
        left: LEFT,
        bottom: ABOVE + FIELD,
        ticks: powers
            .map(|power| Tick {
                at: x(power),
                label: time(power),
            })
            .collect(),
        shares: shares.into(),
        curves: series.iter().map(curve).collect(),
    }
}

/// A step of 1, 2 or 5 times a power of ten, of which 3 to 8 reach as far.
fn step(most: f64) -> f64 {
    let power = 10_f64.powf(most.max(1e-3).log10().floor() - 1.0);
    let steps = [1.0, 2.0, 5.0, 10.0, 20.0].map(|n| n * power);
    let enough = steps.into_iter().find(|step| most / step <= 8.0);
    enough.unwrap_or(20.0 * power)
}

/// A power of ten seconds, for people.
fn time(power: f64) -> String {
    if power < -3.0 {
        format!("{:.0} µs", 10_f64.powf(power + 6.0))
    } else if power < 0.0 {
        format!("{:.0} ms", 10_f64.powf(power + 3.0))
    } else {
        format!("{:.0} s", 10_f64.powf(power))
    }
}

fn tenths(at: f64) -> f64 {
    (at * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(ticks: &[Tick]) -> Vec<&str> {
        ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn an_axis_of_rates_begins_at_zero_and_ends_beyond_the_highest() {
        for (most, want) in [
            (232.0, &["0", "50", "100", "150", "200", "250"][..]),
            (4809.0, &["0", "1000", "2000", "3000", "4000", "5000"]),
            (0.0, &["0", "0.0001"]),
        ] {
            let found = dots(&[Series {
                name: "a",
                figures: &[most, most / 2.0],
            }]);
            assert_eq!(labels(&found.ticks), want, "{most}");
            let (last, dot) = (found.ticks.last().unwrap().at, found.rows[0].dots[0].at);
            assert!(dot <= last && last <= WIDTH - RIGHT, "{most}");
        }
    }

    #[test]
    fn a_curve_rises_from_the_least_time_to_the_longest() {
        let times = [4, 20, 300].map(Duration::from_millis);
        let found = curves(&[Series {
            name: "a",
            figures: &times,
        }]);
        assert_eq!(labels(&found.ticks), ["1 ms", "10 ms", "100 ms", "1 s"]);
        let points: Vec<(f64, f64)> = found.curves[0]
            .points
            .split(' ')
            .map(|point| point.split_once(',').unwrap())
            .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
            .collect();
        assert_eq!(points.len(), 3);
        assert!(
            points.is_sorted_by(|a, b| a.0 < b.0 && a.1 > b.1),
            "{points:?}"
        );
        assert!((points[0].1 - found.bottom).abs() < 1e-9, "{points:?}");
        assert!(
            points
                .iter()
                .all(|(x, _)| (LEFT..WIDTH - RIGHT).contains(x)),
            "{points:?}"
        );
        assert_eq!(
            [-5.0, -4.0, -3.0, 1.0].map(time),
            ["10 µs", "100 µs", "1 ms", "10 s"]
        );
    }
}

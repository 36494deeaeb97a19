//! Latency by percentile as a picture.

use std::fmt::Write as _;

use tierkeep_measure::{Measurement, Nanos};

use super::bars::is_known;

/// The picture, which grows with its list of names, and the place of the curves in it, in pixels.
const SIZE: (f64, f64) = (960.0, 540.0);
const LEFT: f64 = 90.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 470.0;
/// Where the curves end and their names begin.
const RIGHT: f64 = 690.0;
/// Marks of the axis to the right, in thousandths.
const MARKS: [(u16, &str); 6] = [(0, "0"), (500, "50"), (900, "90"), (950, "95"), (990, "99"), (999, "99.9")];
/// Colours that people who see colours differently can tell apart (Okabe and Ito), darkest first.
const COLOURS: [&str; 7] = ["#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];
/// How lines are broken once all colours were used.
const DASHES: [&str; 4] = ["", "6 3", "2 3", "9 3 2 3"];
/// From one name to the next.
const LINE: f64 = 18.0;
/// Letters of a name that fit beside the curves.
const NAME: usize = 36;

/// A picture in SVG: to the right the share of calls, in which each nine takes as much room; upwards the time within which they were
/// answered, in which ten times as long is always equally far.
pub(super) fn svg(measurements: &[Measurement]) -> String {
    let measured: Vec<&Measurement> = measurements.iter().filter(|measured| measured.runs > 0).collect();
    let scale = Scale::of(&measured);
    let (width, least) = SIZE;
    let height = least.max(TOP + LINE * (measured.len() + 1) as f64);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut svg, (LEFT, 28.0), "start", " font-size=\"17\"", "Latency by percentile");
    for (share, name) in MARKS {
        let x = across(f64::from(share) / 1000.0);
        line(&mut svg, (x, TOP), (x, BOTTOM));
        text(&mut svg, (x, BOTTOM + 20.0), "middle", "", name);
    }
    for time in scale.marks() {
        let y = scale.up(time);
        line(&mut svg, (LEFT, y), (RIGHT, y));
        text(&mut svg, (LEFT - 8.0, y + 4.0), "end", "", &Nanos::new(time).map_or_else(|_| String::new(), mark));
    }
    text(&mut svg, (f64::midpoint(LEFT, RIGHT), least - 22.0), "middle", "", "share of calls, in percent");
    let turned = format!(" transform=\"rotate(-90 22 {0})\"", f64::midpoint(TOP, BOTTOM));
    text(&mut svg, (22.0, f64::midpoint(TOP, BOTTOM)), "middle", &turned, "answered within");
    for (place, measured) in measured.iter().enumerate() {
        let (colour, dashes) = (COLOURS[place % COLOURS.len()], DASHES[place / COLOURS.len() % DASHES.len()]);
        let stroke = format!("fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" stroke-dasharray=\"{dashes}\"");
        let points: Vec<String> = curve(measured)
            .into_iter()
            .map(|(share, time)| format!("{:.1},{:.1}", across(share), scale.up(time)))
            .collect();
        // writing to a string cannot fail
        let _ = writeln!(svg, "<polyline points=\"{}\" {stroke}/>", points.join(" "));
        let y = TOP + 14.0 + LINE * place as f64;
        let _ = writeln!(svg, "<path d=\"M{} {}h24\" {stroke}/>", RIGHT + 14.0, y - 4.0);
        text(&mut svg, (RIGHT + 44.0, y), "start", "", &shortened(&measured.name));
    }
    svg + "</svg>\n"
}

/// Shares and the times within which they were answered, up to the last share that the runs tell.
fn curve(measured: &Measurement) -> Vec<(f64, f64)> {
    let shares: Vec<u16> = (0..1000).filter(|share| is_known(*share, measured.runs)).collect();
    let times = measured.percentiles(&shares);
    shares.iter().map(|share| f64::from(*share) / 1000.0).zip(times.into_iter().map(Nanos::get)).collect()
}

/// How far to the right a share stands: three nines are three times as far as one.
fn across(share: f64) -> f64 {
    LEFT + (RIGHT - LEFT) * -(1.0 - share.min(0.999)).log10() / 3.0
}

/// What a time is called beside the axis.
fn mark(time: Nanos) -> String {
    // 5.00 ms is 5 ms
    let shown = time.to_string();
    let (number, unit) = shown.split_once(' ').unwrap_or((&shown, ""));
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { number };
    format!("{number} {unit}")
}

fn shortened(name: &str) -> String {
    let letters = name.chars().count();
    if letters <= NAME { name.to_owned() } else { name.chars().take(NAME - 1).chain(['…']).collect() }
}

fn line(svg: &mut String, from: (f64, f64), to: (f64, f64)) {
    let _ = writeln!(svg, "<path d=\"M{:.1} {:.1}L{:.1} {:.1}\" stroke=\"#dddddd\"/>", from.0, from.1, to.0, to.1);
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, attributes: &str, content: &str) {
    let escaped = content.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\"{attributes}>{escaped}</text>",
        at.0, at.1
    );
}

/// Times from bottom to top, both of them 1, 2 or 5 times a power of ten, in nanoseconds.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(measured: &[&Measurement]) -> Self {
        let times = || measured.iter().flat_map(|measured| curve(measured)).map(|(_, time)| time.max(1.0));
        let (shortest, longest) = (times().fold(f64::INFINITY, f64::min), times().fold(1.0, f64::max));
        let shortest = if shortest.is_finite() { shortest } else { 1.0 };
        let marks = || (0..14).flat_map(|power| [1.0, 2.0, 5.0].map(|first| first * 10_f64.powi(power)));
        let low = marks().take_while(|mark| *mark <= shortest).last().unwrap_or(1.0);
        let high = marks().find(|mark| *mark >= longest && *mark > low).unwrap_or(longest * 2.0);
        Self { low, high }
    }

    fn up(&self, time: f64) -> f64 {
        BOTTOM - (BOTTOM - TOP) * (time.max(self.low) / self.low).ln() / (self.high / self.low).ln()
    }

    /// All that fit; powers of ten only where they were too many.
    fn marks(&self) -> Vec<f64> {
        let within = |firsts: &[f64]| -> Vec<f64> {
            let all = (0..14).flat_map(|power| firsts.iter().map(move |first| first * 10_f64.powi(power)));
            all.filter(|mark| (self.low..=self.high).contains(mark)).collect()
        };
        let marks = within(&[1.0, 2.0, 5.0]);
        if marks.len() <= 16 { marks } else { within(&[1.0]) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::bars::tests::measured;
    use super::*;

    /// Points of the first curve.
    fn points(svg: &str) -> Vec<(f64, f64)> {
        let points = svg.split_once("<polyline points=\"").unwrap().1.split_once('"').unwrap().0;
        let number = |text: &str| text.parse::<f64>().unwrap();
        points.split(' ').map(|point| point.split_once(',').unwrap()).map(|(x, y)| (number(x), number(y))).collect()
    }

    #[test]
    fn curves_rise_to_the_right_within_the_axes() {
        let svg = svg(&[measured("a", 2000, |number| 1_000 + number * number)]);

        let points = points(&svg);
        assert_eq!(points.len(), 1000, "each thousandth");
        assert!(points.windows(2).all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 >= pair[1].1));
        assert!(points.iter().all(|(x, y)| (LEFT..=RIGHT).contains(x) && (TOP..=BOTTOM).contains(y)));
        assert_eq!((points[0].0, points[999].0), (LEFT, RIGHT));
    }

    #[test]
    fn marks_stand_where_their_times_are() {
        let scale = Scale { low: 1_000.0, high: 100_000.0 };

        assert_eq!((scale.up(1_000.0), scale.up(100_000.0)), (BOTTOM, TOP));
        assert!((scale.up(10_000.0) - f64::midpoint(TOP, BOTTOM)).abs() < 1e-9);
        assert_eq!(scale.marks(), [1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5]);
        assert_eq!(Scale { low: 1.0, high: 1e9 }.marks(), [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9]);
        assert_eq!([5e6, 2e4, 1.0].map(|time| mark(Nanos::new(time).unwrap())), ["5 ms", "20 µs", "1 ns"]);
    }

    #[test]
    fn few_runs_end_where_they_tell_nothing_more() {
        let points = points(&svg(&[measured("few", 100, |number| 1_000 + number)]));

        assert!((points[points.len() - 1].0 - across(0.99)).abs() < 0.1);
    }

    #[test]
    fn names_are_escaped_and_shortened() {
        let svg = svg(&[measured("<script>&", 10, |_| 5_000), measured(&"x".repeat(50), 10, |_| 5_000)]);

        assert!(svg.contains(">&lt;script&gt;&amp;</text>") && !svg.contains("<script>"));
        assert!(svg.contains(&format!(">{}…</text>", "x".repeat(35))));
        assert_eq!(svg.matches("<polyline").count(), 2);
    }

    #[test]
    fn nothing_measured_is_a_picture_without_curves() {
        let svg = svg(&[]);

        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && !svg.contains("polyline"));
    }
}

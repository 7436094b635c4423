//! Charts as pictures in the page. plotters draws; its colours are stand-ins that become the classes of the style sheet,
//! so that a picture is light or dark as the page is.

use chrono::{DateTime, Utc};
use maud::{Markup, PreEscaped, html};
use plotters::prelude::*;
use reclaimer_domain::job::Status;

use super::parts::table;
use super::words::{exact, number};

/// The size of a picture, which the style sheet stretches.
const SIZE: (u32, u32) = (460, 200);

/// Stand-ins for what the style sheet gives.
const TEXT: RGBColor = RGBColor(1, 1, 1);
const LINE: RGBColor = RGBColor(2, 2, 2);
const BARS: [RGBColor; 2] = [RGBColor(3, 3, 3), RGBColor(4, 4, 4)];

/// What one colour of a chart counts.
#[derive(Debug)]
pub(crate) struct Series {
    /// The state whose colour it has.
    pub(crate) state: Status,
    pub(crate) name: &'static str,
    pub(crate) values: Vec<u64>,
}

/// What a chart shows.
#[derive(Debug)]
pub(crate) struct Chart<'a> {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// When each minute began.
    pub(crate) minutes: &'a [DateTime<Utc>],
    /// Drawn one upon the other, the first at the bottom.
    pub(crate) series: [Series; 2],
    /// Since when is counted.
    pub(crate) since: DateTime<Utc>,
}

/// A chart of bars, one per minute, with the numbers on hover and in a table.
pub(crate) fn bars(chart: &Chart<'_>) -> Markup {
    let Chart { id, title, series, since, .. } = chart;
    let sums = series.each_ref().map(|it| format!("{} {}", number(it.values.iter().sum()), it.name));
    let said = format!("{title} of the last hour: {}", sums.join(", "));
    let rows: Vec<Vec<Markup>> = chart
        .minutes
        .iter()
        .enumerate()
        .rev()
        .filter(|(place, _)| series.iter().any(|it| value(it, *place) > 0))
        .map(|(place, at)| {
            let mut row = vec![html! { (clock(*at)) }];
            row.extend(series.iter().map(|it| html! { (number(value(it, place))) }));
            row
        })
        .collect();
    html! {
        figure.chart id=(id) {
            figcaption {
                strong { (title) }
                @for it in series { span class={ "key is-" (it.state.as_str()) } { (it.name) } }
            }
            @if let Some(picture) = draw(chart) {
                svg viewBox={ "0 0 " (SIZE.0) " " (SIZE.1) } role="img" aria-label=(said) { (picture) }
            }
            p.soft { "Per minute, counted since " time title=(exact(*since)) { (since.format("%Y-%m-%d %H:%M UTC")) } ": " (sums.join(", ")) " within the last hour." }
            details id={ (id) "-numbers" } {
                summary { "The numbers" }
                @if rows.is_empty() { p.soft { "Nothing within the last hour." } } @else {
                    (table(title, &["Minute", series[0].name, series[1].name], &rows))
                }
            }
        }
    }
}

fn value(series: &Series, place: usize) -> u64 {
    series.values.get(place).copied().unwrap_or_default()
}

fn clock(at: DateTime<Utc>) -> String {
    at.format("%H:%M").to_string()
}

/// The insides of the picture; `None` where there is nothing to draw.
fn draw(chart: &Chart<'_>) -> Option<Markup> {
    let mut text = String::new();
    let hovers = paint(chart, &mut text).ok()?;
    // The element around it is the page's own.
    let inside = text.split_once("<svg")?.1.split_once('>')?.1.rsplit_once("</svg>")?.0;
    let mut inside = inside.to_owned();
    let stand_ins = [(TEXT, "text".to_owned()), (LINE, "line".to_owned())];
    let states = chart.series.each_ref().map(|it| format!("bar is-{}", it.state.as_str()));
    for (colour, class) in stand_ins.into_iter().chain(BARS.into_iter().zip(states)) {
        let RGBColor(red, green, blue) = colour;
        let colour = format!("#{red:02X}{green:02X}{blue:02X}");
        for attribute in ["fill", "stroke"] {
            inside = inside.replace(&format!("{attribute}=\"{colour}\""), &format!("class=\"{class}\""));
        }
    }
    Some(html! {
        (PreEscaped(inside))
        @for (from, to, said) in hovers {
            rect.hover x=(from) y="0" width=(to - from) height=(SIZE.1) { title { (said) } }
        }
    })
}

/// What stands over which part of the picture, from left to right.
type Hovers = Vec<(i32, i32, String)>;

fn paint(chart: &Chart<'_>, into: &mut String) -> Result<Hovers, DrawingAreaErrorKind<std::io::Error>> {
    let most =
        (0..chart.minutes.len()).map(|place| chart.series.iter().map(|it| value(it, place)).sum::<u64>());
    let most = most.max().unwrap_or_default().max(4);
    let root = SVGBackend::with_string(into, SIZE).into_drawing_area();
    let mut canvas = ChartBuilder::on(&root)
        .margin(4)
        .margin_top(10)
        .margin_right(12)
        .x_label_area_size(24)
        .y_label_area_size(46)
        .build_cartesian_2d(0..chart.minutes.len(), 0..most + most / 10)?;
    let label = ("sans-serif", 12).into_font().color(&TEXT);
    canvas
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(LINE)
        .axis_style(LINE)
        .label_style(label)
        .x_labels(5)
        .y_labels(4)
        .x_label_formatter(&|place| chart.minutes.get(*place).copied().map(clock).unwrap_or_default())
        .y_label_formatter(&|value| number(*value))
        .draw()?;
    let mut hovers = Vec::new();
    for (place, at) in chart.minutes.iter().enumerate() {
        let mut below = 0;
        let mut said = clock(*at);
        for (series, colour) in chart.series.iter().zip(BARS) {
            let value = value(series, place);
            said.push_str(&format!(", {} {}", number(value), series.name));
            if value > 0 {
                let mut bar = Rectangle::new([(place, below), (place + 1, below + value)], colour.filled());
                bar.set_margin(0, 0, 1, 1);
                canvas.draw_series([bar])?;
                below += value;
            }
        }
        let (from, _) = canvas.backend_coord(&(place, 0));
        let (to, _) = canvas.backend_coord(&(place + 1, 0));
        if below > 0 {
            hovers.push((from, to, said));
        }
    }
    root.present()?;
    Ok(hovers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(finished: Vec<u64>, minutes: &[DateTime<Utc>]) -> String {
        let failed = finished.iter().map(|value| value / 2).collect();
        bars(&Chart {
            id: "chart-throughput",
            title: "Throughput",
            minutes,
            series: [
                Series { state: Status::Finished, name: "finished", values: finished },
                Series { state: Status::Failed, name: "failed", values: failed },
            ],
            since: minutes[0],
        })
        .into_string()
    }

    #[test]
    fn a_picture_has_its_numbers_on_hover_and_in_a_table() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let minutes: Vec<_> = (0..60).map(|minute| start + chrono::Duration::minutes(minute)).collect();
        let mut values = vec![0; 60];
        (values[0], values[59]) = (1_200, 7);
        let shown = chart(values, &minutes);
        assert!(
            shown.contains("aria-label=\"Throughput of the last hour: 1,207 finished, 603 failed\""),
            "{shown}"
        );
        assert!(shown.contains("<title>08:00, 1,200 finished, 600 failed</title>"), "{shown}");
        assert!(shown.contains("<td>08:59</td><td>7</td><td>3</td>"), "{shown}");
        assert!(shown.contains("<span class=\"key is-failed\">failed</span>"), "{shown}");
        assert_eq!(shown.matches("class=\"hover\"").count(), 2, "empty minutes say nothing");
        assert_eq!(shown.matches("class=\"bar is-finished\"").count(), 2);
        assert_eq!(shown.matches("class=\"bar is-failed\"").count(), 2);
    }

    #[test]
    fn a_picture_takes_its_looks_from_the_style_sheet_alone() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        for values in [vec![0], vec![u64::from(u32::MAX)], vec![1]] {
            let shown = chart(values, &[start]);
            for bad in ["style=", "http:", "fill=\"#", "stroke=\"#"] {
                assert!(!shown.contains(bad), "{bad}: {shown}");
            }
        }
    }
}

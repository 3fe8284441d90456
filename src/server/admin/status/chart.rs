//! Charts of the last minutes: SVG without script, with its numbers as a name for those who do not see it.

use super::history::SECONDS;
use super::html::Html;

/// Height of a chart, in its own units.
const HEIGHT: f64 = 60.0;

/// One line of a chart.
pub(super) struct ChartLine {
    /// Class of the line.
    pub(super) class: &'static str,
    /// Values, oldest first. `None`: nothing to show then.
    pub(super) values: Vec<Option<f64>>,
}

/// A chart of some lines. `name` says what it shows; `shown` writes a value.
pub(super) fn chart(name: &str, lines: &[ChartLine], shown: fn(f64) -> String) -> Html {
    let values = lines.iter().flat_map(|line| line.values.iter().flatten());
    let highest = values.fold(0.0_f64, |highest, value| highest.max(*value));
    let top = if highest > 0.0 { highest } else { 1.0 };
    let mut html = Html::default();
    html.raw("<svg class=\"chart\" viewBox=\"0 0 300 60\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"");
    html.text(name).raw(", highest of the last five minutes ").text(&shown(highest)).raw("\">");
    for line in lines {
        html.raw("<path class=\"").raw(line.class).raw("\" d=\"").text(&path(&line.values, top)).raw("\"/>");
    }
    html.raw("</svg><p class=\"highest\" aria-hidden=\"true\">highest ").text(&shown(highest)).raw("</p>");
    html
}

/// The path of a line: the newest value at the right edge, with gaps where there is none.
fn path(values: &[Option<f64>], top: f64) -> String {
    let mut path = String::new();
    let mut is_drawing = false;
    let first = SECONDS.saturating_sub(values.len());
    for (number, value) in values.iter().enumerate() {
        let Some(value) = value else {
            is_drawing = false;
            continue;
        };
        let height = HEIGHT - 1.0 - (value / top) * (HEIGHT - 2.0);
        path.push_str(&format!("{}{} {height:.1}", if is_drawing { 'L' } else { 'M' }, first + number));
        // One value between gaps is a point.
        if !is_drawing && values.get(number + 1).is_none_or(Option::is_none) {
            path.push_str("h1");
        }
        is_drawing = true;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_value_is_at_the_right_and_gaps_stay_gaps() {
        assert_eq!(path(&[Some(0.0), Some(2.0)], 2.0), "M298 59.0L299 1.0");
        assert_eq!(path(&[Some(2.0), None, Some(1.0)], 2.0), "M297 1.0h1M299 30.0h1");
        assert_eq!(path(&[], 1.0), "");
    }
}

//! The time-line: subtests, and for every machine its boots and commands, and the faults, over time.
//!
//! ```text
//!            0 s        10 s        20 s
//! subtests   |══ serves ══|═ outage ═|
//! web        ▒▒▒▒────────────────────      state
//!              ▬  ▬▬      ▬                commands
//! faults                  ▨▨▨▨
//! ```

use std::fmt::Write as _;

use super::super::junit::escape;
use super::super::story::{Entry, Story, What};
use super::{class, seconds};

/// Rows of commands that ran at the same time.
const ROWS: usize = 4;
/// Pixels of a row.
const ROW: usize = 12;

/// Where moments are on the track.
struct Scale(f64);

impl Scale {
    fn percent(&self, at: f64) -> f64 {
        (at / self.0 * 100.0).clamp(0.0, 100.0)
    }

    /// `left` and `width` for a bar.
    fn place(&self, start: f64, end: f64) -> String {
        let left = self.percent(start);
        format!("left:{left:.2}%;width:{:.2}%", (self.percent(end) - left).max(0.0))
    }

    /// Moments with whole numbers, at most about ten.
    fn ticks(&self) -> Vec<f64> {
        let mut step = 0.1;
        for factor in [2.0, 2.5, 2.0].into_iter().cycle() {
            if self.0 / step <= 10.0 {
                break;
            }
            step *= factor;
        }
        let count = (self.0 / step).floor() as usize;
        (0..=count).map(|i| i as f64 * step).collect()
    }
}

pub(super) fn draw(story: &Story, out: &mut String) {
    let scale = Scale(story.length.max(0.1));
    let grid: String = scale.ticks().iter().skip(1).map(|t| gridline(&scale, *t)).collect();
    out.push_str("<section class=\"card\" id=\"time\"><h2>Time-line</h2><div class=\"lanes\">\n");
    out.push_str("<div class=\"lane ticks\"><div class=\"label\"></div><div class=\"track\">");
    for t in scale.ticks() {
        // The last one would stand out of the card.
        if scale.percent(t) < 98.0 {
            let text = if t.fract() == 0.0 { format!("{t:.0} s") } else { format!("{t:.1} s") };
            let _ = write!(out, "<span style=\"left:{:.2}%\">{text}</span>", scale.percent(t));
        }
    }
    out.push_str("</div></div>\n");
    subtests(story, &scale, &grid, out);
    for node in names(story) {
        machine(story, node, &scale, &grid, out);
    }
    if !story.faults.is_empty() {
        for (i, fault) in story.faults.iter().enumerate() {
            let end = fault.end.unwrap_or(story.length);
            let words = format!("{}, {}", fault.text, seconds(end - fault.start));
            let bar = format!(
                "<span class=\"bar fault\" style=\"top:5px;{}\" title=\"{t}\">{t}</span>",
                scale.place(fault.start, end),
                t = escape(&words)
            );
            lane(if i == 0 { "faults" } else { "" }, i == 0, 26, &format!("{grid}{bar}"), out);
        }
    }
    out.push_str(
        "</div><div class=\"legend\"><span><i class=\"bar booting\"></i>booting</span>\
         <span><i class=\"bar up\"></i>up</span><span><i class=\"bar cmd-ok\"></i>command, status 0</span>\
         <span><i class=\"bar cmd-bad\"></i>another status</span><span><i class=\"bar fault\"></i>fault</span>\
         </div></section>\n",
    );
}

/// The machines: those the run began with, and others that it told of.
pub(super) fn names(story: &Story) -> Vec<&str> {
    let mut names: Vec<&str> = story.nodes.iter().map(String::as_str).collect();
    let told = story.entries.iter().filter_map(|e| e.node.as_deref());
    for name in told.chain(story.consoles.keys().map(String::as_str)) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn gridline(scale: &Scale, at: f64) -> String {
    format!("<span class=\"grid\" style=\"left:{:.2}%\"></span>", scale.percent(at))
}

fn lane(label: &str, group: bool, height: usize, inside: &str, out: &mut String) {
    let _ = writeln!(
        out,
        "<div class=\"lane\"><div class=\"label{}\" title=\"{l}\">{l}</div>\
         <div class=\"track\" style=\"min-height:{height}px\">{inside}</div></div>",
        if group { " group" } else { "" },
        l = escape(label),
    );
}

fn subtests(story: &Story, scale: &Scale, grid: &str, out: &mut String) {
    let shown = || story.subtests.iter().enumerate().filter(|(_, p)| p.end != Some(p.start));
    let deepest = shown().map(|(_, p)| p.path.len()).max().unwrap_or(0);
    for depth in 1..=deepest {
        let mut bars = grid.to_owned();
        for (i, part) in shown().filter(|(_, p)| p.path.len() == depth) {
            let end = part.end.unwrap_or(story.length);
            let name = part.path.last().map_or("", String::as_str);
            let class = part.outcome.map_or("running", class);
            let _ = write!(
                bars,
                "<a class=\"bar {class}\" href=\"#subtest-{i}\" style=\"top:5px;{}\" title=\"{n}, {}\">{n}</a>",
                scale.place(part.start, end),
                seconds(end - part.start),
                n = escape(name),
            );
        }
        lane(if depth == 1 { "subtests" } else { "" }, depth == 1, 26, &bars, out);
    }
}

fn machine(story: &Story, node: &str, scale: &Scale, grid: &str, out: &mut String) {
    let mut inside = grid.to_owned();
    for span in story.states.iter().filter(|s| s.node == node) {
        let class = match span.state.as_str() {
            s @ ("booting" | "up" | "paused" | "stopping" | "crashed" | "failed") => s,
            _ => "off",
        };
        let _ = write!(
            inside,
            "<span class=\"bar state {class}\" style=\"top:4px;{}\" title=\"{node}: {} for {}\"></span>",
            scale.place(span.start, span.end),
            escape(&span.state),
            seconds(span.end - span.start),
            node = escape(node),
        );
    }
    let mut rows = vec![f64::NEG_INFINITY];
    let mine = story.entries.iter().enumerate().filter(|(_, e)| e.node.as_deref() == Some(node));
    for (i, Entry { at, what, .. }) in mine {
        let What::Command(command) = what else { continue };
        let end = command.end.unwrap_or(story.length);
        let row = rows.iter().position(|until| *until <= *at).unwrap_or_else(|| {
            if rows.len() < ROWS {
                rows.push(f64::NEG_INFINITY);
            }
            rows.len() - 1
        });
        rows[row] = rows[row].max(end);
        let _ = write!(
            inside,
            "<a class=\"bar thin {}\" href=\"#event-{i}\" style=\"top:{}px;{}\" title=\"$ {}, {}\"></a>",
            if command.status == Some(0) { "cmd-ok" } else { "cmd-bad" },
            13 + row * ROW,
            scale.place(*at, end),
            escape(&clip(&command.text, 200)),
            seconds(end - at),
        );
    }
    lane(node, true, 16 + rows.len() * ROW, &inside, out);
}

/// The beginning of a long text.
pub(super) fn clip(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_few_and_round() {
        for (length, want) in [(0.1, 0.1), (7.0, 1.0), (42.0, 5.0), (99.0, 10.0), (3600.0, 500.0)] {
            let ticks = Scale(length).ticks();
            assert!(ticks.len() <= 11, "{length}: {ticks:?}");
            assert!((ticks[1] - want).abs() < 1e-9, "{length}: {ticks:?}");
        }
    }

    #[test]
    fn bars_stay_on_the_track() {
        let scale = Scale(10.0);
        assert_eq!(scale.place(5.0, 20.0), "left:50.00%;width:50.00%");
        assert_eq!(scale.place(5.0, 4.0), "left:50.00%;width:0.00%");
    }
}

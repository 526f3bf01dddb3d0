//! What a run covered, as far as a coverage directory beside its log tells.

use std::fmt::Write as _;

use serde_json::Value;

use super::super::coverage::Count;
use super::super::junit::escape;

/// Totals of a coverage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    /// The browsable report, relative to the page; absent when it is not there.
    pub page: Option<String>,
    /// What is counted (`lines`, `functions`), how many of it were reached, of how many.
    pub totals: Vec<(String, u64, u64)>,
    /// The same for each node: its name and its lines reached, of how many.
    pub nodes: Vec<(String, u64, u64)>,
}

impl Coverage {
    /// Takes what a `summary.json` says; what it does not say is left out.
    ///
    /// Counts are objects with `hit` (or `covered`) and `found` (or `total`); the totals stand in
    /// `total` or at the top, the nodes' in `nodes`, each with `lines`.
    pub fn read(summary: &Value, page: Option<String>) -> Self {
        let whole = summary.get("total").filter(|t| t.is_object()).unwrap_or(summary);
        let totals = ["lines", "functions", "branches"].iter().filter_map(|kind| {
            let (hit, found) = count(whole.get(kind)?)?;
            Some(((*kind).to_owned(), hit, found))
        });
        let nodes = summary.get("nodes").and_then(Value::as_object).into_iter().flatten();
        let nodes = nodes.filter_map(|(name, n)| {
            let (hit, found) = count(n.get("lines").unwrap_or(n))?;
            Some((name.clone(), hit, found))
        });
        Self { page, totals: totals.collect(), nodes: nodes.collect() }
    }
}

fn count(value: &Value) -> Option<(u64, u64)> {
    let number = |names: [&str; 2]| names.iter().find_map(|n| value.get(n)?.as_u64());
    Some((number(["hit", "covered"])?, number(["found", "total"])?))
}

pub(super) fn draw(coverage: &Coverage, out: &mut String) {
    out.push_str("<section class=\"card\" id=\"coverage\"><div class=\"row\"><h2>Coverage</h2>");
    if let Some(page) = &coverage.page {
        let _ = write!(out, "<a href=\"{}\">file by file</a>", escape(page));
    }
    out.push_str("</div>");
    if !coverage.totals.is_empty() {
        out.push_str("<table>");
        for (name, hit, found) in &coverage.totals {
            row(&format!("all nodes: {name}"), *hit, *found, out);
        }
        for (name, hit, found) in &coverage.nodes {
            row(&format!("{name}: lines"), *hit, *found, out);
        }
        out.push_str("</table>");
    }
    out.push_str("</section>\n");
}

fn row(name: &str, hit: u64, found: u64, out: &mut String) {
    // As on the pages of each file, which this leads to.
    let percent = Count { hit, found }.percent();
    let _ = write!(
        out,
        "<tr><td>{}</td><td><div class=\"meter\"><i style=\"width:{percent:.1}%\"></i></div></td>\
         <td class=\"num\">{percent:.1} %</td><td class=\"num dim\">{hit} of {found}</td></tr>",
        escape(name),
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn totals_are_taken_from_where_they_stand() {
        let lines = |hit: u8| json!({"hit": hit, "found": 10});
        let nested = json!({"total": {"lines": lines(7)}, "nodes": {"a": {"lines": lines(4)}}});
        let flat = json!({"lines": {"covered": 7, "total": 10}, "functions": {"covered": "x"}});
        for (summary, nodes) in [(nested, 1), (flat, 0), (json!({"lines": lines(7), "nodes": 3}), 0)] {
            let c = Coverage::read(&summary, None);
            assert_eq!(c.totals, [("lines".to_owned(), 7, 10)], "{summary}");
            assert_eq!(c.nodes.len(), nodes, "{summary}");
        }
        assert_eq!(Coverage::read(&json!(null), None), Coverage::default());
    }
}

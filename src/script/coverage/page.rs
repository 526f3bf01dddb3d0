//! The first page of a coverage report: files and their percentages, on every node and in sum.
//!
//! ```text
//! Coverage          server   client   all nodes
//! larder-1.0/client  0.0 %   81.2 %   ▇▇▇▇▇▇░ 81.2 %   302 / 372   95 %
//!   print.c          0.0 %   77.3 %   ▇▇▇▇▇░░ 77.3 %    …
//! ```

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::super::junit::escape;
use super::summary::{Counts, FileSummary, Summary};

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--low:#d1495b;--mid:#d9a404;--high:#3a8f5c}\
body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\
h1{font-size:1.5em}table{border-collapse:collapse;width:100%}\
th,td{text-align:right;padding:.2em .7em;border-bottom:1px solid var(--line);white-space:nowrap}\
th:first-child,td:first-child{text-align:left;white-space:normal}\
tr.dir td{font-weight:600;padding-top:.8em}tr.file td:first-child{padding-left:1.8em}tr.sum td{font-weight:600}\
.meter{display:inline-block;width:8em;height:.7em;background:var(--line);border-radius:.2em;vertical-align:middle}\
.meter i{display:block;height:100%;border-radius:.2em}.low i{background:var(--low)}.mid i{background:var(--mid)}\
.high i{background:var(--high)}.dim{opacity:.65;font-weight:400}ul{padding-left:1.2em}.wide{overflow-x:auto}li{overflow-wrap:anywhere}";

/// Draws the page; `exists` tells whether a page of lcov's is there, by its path below this one.
pub(super) fn draw(summary: &Summary, exists: &dyn Fn(&str) -> bool) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Coverage</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head><body>\
         <h1>Coverage</h1><p>Lines that the test has executed: on each node by itself, and on all of them together.</p>"
    );
    problems(&summary.problems, &mut out);
    if summary.files.is_empty() {
        out.push_str("<p>No data was collected.</p>");
    } else {
        table(summary, exists, &mut out);
    }
    out.push_str("</body></html>\n");
    out
}

fn problems(list: &[String], out: &mut String) {
    if list.is_empty() {
        return;
    }
    out.push_str("<p>Not everything could be collected:</p><ul>");
    for problem in list {
        let _ = write!(out, "<li>{}</li>", escape(problem));
    }
    out.push_str("</ul>");
}

fn table(summary: &Summary, exists: &dyn Fn(&str) -> bool, out: &mut String) {
    let nodes: Vec<&str> = summary.nodes.keys().map(String::as_str).collect();
    out.push_str("<div class=\"wide\"><table><thead><tr><th>file</th>");
    for node in &nodes {
        let _ = write!(out, "<th>{}</th>", link(&format!("nodes/{node}/index.html"), node, exists));
    }
    let all = link("total/index.html", "all nodes", exists);
    let _ = write!(out, "<th colspan=\"2\">{all}</th><th>lines</th><th>functions</th></tr></thead><tbody>");
    row("sum", "everything", &nodes, &summary.nodes, summary.total, out);
    for (dir, files) in by_directory(&summary.files) {
        let sum = files.iter().map(|(_, f)| f.total).fold(Counts::default(), |a, b| a + b);
        let mut of_nodes: BTreeMap<String, Counts> = BTreeMap::new();
        for (_, file) in &files {
            for (node, counts) in &file.nodes {
                let total = of_nodes.entry(node.clone()).or_default();
                *total = *total + *counts;
            }
        }
        let name = if dir.is_empty() { "." } else { dir };
        let shown = link(&format!("total/{dir}/index.html"), name, exists);
        row("dir", &shown, &nodes, &of_nodes, sum, out);
        for (path, file) in files {
            let name = path.rsplit('/').next().unwrap_or(path);
            let shown = link(&format!("total/{path}.gcov.html"), name, exists);
            row("file", &shown, &nodes, &file.nodes, file.total, out);
        }
    }
    out.push_str("</tbody></table></div>");
}

/// The files of every directory.
fn by_directory(files: &BTreeMap<String, FileSummary>) -> BTreeMap<&str, Vec<(&str, &FileSummary)>> {
    let mut out: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (path, file) in files {
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        out.entry(dir).or_default().push((path.as_str(), file));
    }
    out
}

/// A row; `name` is HTML already.
fn row(
    class: &str,
    name: &str,
    nodes: &[&str],
    of: &BTreeMap<String, Counts>,
    total: Counts,
    out: &mut String,
) {
    let _ = write!(out, "<tr class=\"{class}\"><td>{name}</td>");
    for node in nodes {
        match of.get(*node) {
            Some(c) => {
                let _ = write!(out, "<td>{:.1} %</td>", c.lines.percent());
            }
            None => out.push_str("<td class=\"dim\">–</td>"),
        }
    }
    let percent = total.lines.percent();
    let grade = match percent {
        p if p >= 90.0 => "high",
        p if p >= 60.0 => "mid",
        _ => "low",
    };
    let _ = write!(
        out,
        "<td><span class=\"meter {grade}\"><i style=\"width:{percent:.1}%\"></i></span></td><td>{percent:.1} %</td>\
         <td class=\"dim\">{} / {}</td><td class=\"dim\">{:.1} %</td></tr>",
        total.lines.hit,
        total.lines.found,
        total.functions.percent()
    );
}

fn link(target: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> String {
    let text = escape(text);
    if !exists(target) {
        return text;
    }
    // Paths are the package's and the model's; what has a meaning in an address is written out.
    let target = target.replace('%', "%25").replace('#', "%23").replace('?', "%3f");
    format!("<a href=\"{}\">{text}</a>", escape(&target))
}

#[cfg(test)]
mod tests {
    use super::super::summary::Count;
    use super::*;

    fn counts(hit: u64, found: u64) -> Counts {
        Counts { lines: Count { hit, found }, functions: Count::default() }
    }

    #[test]
    fn files_are_listed_by_directory_with_every_nodes_share() {
        let file = FileSummary {
            total: counts(9, 10),
            nodes: [("a".into(), counts(5, 10)), ("b".into(), counts(4, 10))].into(),
        };
        let summary = Summary {
            total: counts(9, 10),
            nodes: [("a".into(), counts(5, 10)), ("b".into(), counts(4, 10))].into(),
            files: [("p/<x>.c".to_owned(), file)].into(),
            problems: vec!["a: it is <off>".into()],
        };
        let html = draw(&summary, &|path| path == "total/p/<x>.c.gcov.html");
        for part in [
            "<td>50.0 %</td><td>40.0 %</td>",
            "<td>90.0 %</td>",
            "class=\"meter high\"",
            "<a href=\"total/p/&lt;x&gt;.c.gcov.html\">&lt;x&gt;.c</a>",
            "a: it is &lt;off&gt;",
        ] {
            assert!(html.contains(part), "{part}\n{html}");
        }
        assert!(!html.contains("<x>") && !html.contains("href=\"nodes/"));
        assert!(draw(&Summary::default(), &|_| false).contains("No data"));
    }
}

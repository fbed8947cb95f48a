//! The report as one table for spreadsheets. docs/operations.md has its columns.

use std::fmt::Write;
use std::time::SystemTime;

use humantime::format_rfc3339_seconds;

use crate::history::{Summary, Tally};

const COLUMNS: &str = "part,first,last,identity,node,principal,rule,subject,value,usual,\
                       requests,refused,errors,bytes_in,bytes_out,tokens_in,tokens_out,tokens_untold,ollama_ms\n";

/// What a row has of the columns.
#[derive(Default)]
struct Row<'a> {
    part: &'a str,
    first: String,
    last: String,
    identity: &'a str,
    node: &'a str,
    principal: &'a str,
    rule: &'a str,
    subject: &'a str,
    value: Option<u64>,
    usual: Option<u64>,
    tally: Option<&'a Tally>,
}

impl Row<'_> {
    fn write(&self, csv: &mut String) {
        let Row { part, first, last, identity, node, principal, rule, subject, .. } = self;
        let texts = [part, first.as_str(), last, identity, node, principal, rule, subject];
        let number = |n: Option<u64>| n.map(|n| n.to_string()).unwrap_or_default();
        let counted = self.tally.map_or([None; 9], |t| {
            let [requests, refused, errors] = [t.requests, t.refused, t.errors];
            let [tokens_in, tokens_out, untold] = [t.tokens_in, t.tokens_out, t.tokens_untold];
            let (bytes_in, bytes_out, ollama_ms) = (t.bytes_in, t.bytes_out, t.ollama_ms());
            [requests, refused, errors, bytes_in, bytes_out, tokens_in, tokens_out, untold, ollama_ms]
                .map(Some)
        });
        let numbers = [self.value, self.usual].into_iter().chain(counted).map(number);
        let fields: Vec<_> = texts.into_iter().map(quoted).chain(numbers).collect();
        // Writing to a String can't fail.
        let _ = writeln!(csv, "{}", fields.join(","));
    }
}

/// A text that is a text in every spreadsheet: quoted, and with an apostrophe before what would begin a
/// formula (OWASP, "CSV Injection"). Names and paths are others' words.
fn quoted(text: &str) -> String {
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    if text.is_empty() {
        return String::new();
    }
    let apostrophe = if text.trim_start().starts_with(FORMULA) { "'" } else { "" };
    format!("\"{apostrophe}{}\"", text.replace('"', "\"\""))
}

pub(super) fn csv(summary: &Summary) -> String {
    let mut csv = COLUMNS.to_owned();
    let at = |time: SystemTime| format_rfc3339_seconds(time).to_string();
    let mut add = |row: Row<'_>| row.write(&mut csv);
    let (first, last) = (at(summary.span.since), at(summary.span.until));
    add(Row { part: "total", first, last, tally: Some(&summary.total), ..Row::default() });
    if let Some(place) = &summary.lines.first_unreadable {
        let subject = &*format!("{} line {}", place.file, place.line);
        add(Row { part: "unreadable", subject, value: Some(summary.lines.unreadable), ..Row::default() });
    }
    if summary.lines.lost > 0 {
        add(Row { part: "lost", value: Some(summary.lines.lost), ..Row::default() });
    }
    for (subject, count) in &summary.ended {
        add(Row { part: "ended", subject, value: Some(*count), ..Row::default() });
    }
    for u in &summary.unusual {
        let (identity, principal, subject) = (&u.identity, &u.principal, u.measure.name());
        let (value, usual) = (Some(u.value), Some(u.usual));
        let first = u.day.clone();
        add(Row { part: "unusual", first, identity, principal, subject, value, usual, ..Row::default() });
    }
    for seen in &summary.first_seen {
        let (identity, node, principal) = (&seen.identity, &seen.node, &seen.principal);
        let (first, tally) = (at(seen.time), Some(&seen.tally));
        add(Row { part: "first-seen", first, identity, node, principal, tally, ..Row::default() });
    }
    for access in &summary.access {
        let (identity, node, principal) = (&access.identity, &access.node, &access.principal);
        let (first, subject, value) = (at(access.time), &access.access, Some(access.port));
        add(Row { part: "access", first, identity, node, principal, subject, value, ..Row::default() });
    }
    for r in &summary.refused {
        let (first, last, value) = (at(r.first), at(r.last), Some(r.count));
        let (identity, node, principal) = (&*r.identity, &*r.node, &*r.principal);
        let (part, rule, subject) = ("refused", &*r.rule, &*r.attempt());
        let row = Row { part, first, last, identity, node, principal, ..Row::default() };
        add(Row { rule, subject, value, ..row });
    }
    for id in &summary.identities {
        let (identity, principal) = (&*id.identity, &*id.principal);
        let (first, last, tally) = (at(id.first), at(id.last), Some(&id.tally));
        add(Row { part: "identity", first, last, identity, principal, tally, ..Row::default() });
        for asked in &id.endpoints {
            let (subject, tally) = (&*asked.endpoint, Some(&asked.tally));
            add(Row { part: "identity-endpoint", identity, principal, subject, tally, ..Row::default() });
        }
        for day in &id.days {
            let (first, tally) = (day.day.clone(), Some(&day.tally));
            add(Row { part: "identity-day", first, identity, principal, tally, ..Row::default() });
        }
    }
    if summary.others != Tally::default() {
        add(Row { part: "others", tally: Some(&summary.others), ..Row::default() });
    }
    for asked in &summary.endpoints {
        let (subject, tally) = (&*asked.endpoint, Some(&asked.tally));
        add(Row { part: "endpoint", subject, tally, ..Row::default() });
    }
    for (rule, count) in &summary.rules {
        add(Row { part: "rule", rule, value: Some(*count), ..Row::default() });
    }
    for (part, more) in [("access-more", summary.access_more), ("refused-more", summary.refused_more)] {
        if more > 0 {
            add(Row { part, value: Some(more), ..Row::default() });
        }
    }
    csv
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_is_a_formula_or_ends_its_field() {
        for (text, written) in [
            ("", ""),
            ("laptop", "\"laptop\""),
            ("=cmd|' /C calc'!A0", "\"'=cmd|' /C calc'!A0\""),
            ("-1+1", "\"'-1+1\""),
            (" @SUM(A1)", "\"' @SUM(A1)\""),
            ("＝1", "\"'＝1\""),
            ("a\",=1", "\"a\"\",=1\""),
        ] {
            assert_eq!(quoted(text), written);
        }
    }
}

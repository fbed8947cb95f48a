//! The report as one table for spreadsheets. docs/report.md describes its columns.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use crate::history::{Summary, Tally};

/// A row. Its fields are the columns, in this order.
#[derive(Default, Serialize)]
struct Row<'a> {
    part: &'a str,
    first: String,
    last: String,
    #[serde(serialize_with = "text")]
    identity: &'a str,
    #[serde(serialize_with = "text")]
    node: &'a str,
    #[serde(serialize_with = "text")]
    principal: &'a str,
    #[serde(serialize_with = "text")]
    rule: &'a str,
    #[serde(serialize_with = "text")]
    subject: Cow<'a, str>,
    value: Option<u64>,
    usual: Option<u64>,
    requests: Option<u64>,
    refused: Option<u64>,
    errors: Option<u64>,
    bytes_in: Option<u64>,
    bytes_out: Option<u64>,
    tokens_in: Option<u64>,
    tokens_out: Option<u64>,
    tokens_untold: Option<u64>,
    ollama_ms: Option<u64>,
}

impl Row<'_> {
    fn counts(self, tally: &Tally) -> Self {
        Row {
            requests: Some(tally.requests),
            refused: Some(tally.refused),
            errors: Some(tally.errors),
            bytes_in: Some(tally.bytes_in),
            bytes_out: Some(tally.bytes_out),
            tokens_in: Some(tally.tokens_in),
            tokens_out: Some(tally.tokens_out),
            tokens_untold: Some(tally.tokens_untold),
            ollama_ms: Some(tally.ollama_ms()),
            ..self
        }
    }
}

/// Writes a text that a client or the tailnet chose. An apostrophe goes before what a spreadsheet would take for a
/// formula (OWASP, "CSV Injection").
fn text<S: Serializer>(text: &impl AsRef<str>, serializer: S) -> Result<S::Ok, S::Error> {
    let text = text.as_ref();
    const FORMULA: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];
    if text.trim_start().starts_with(FORMULA) {
        serializer.collect_str(&format_args!("'{text}"))
    } else {
        serializer.serialize_str(text)
    }
}

/// # Errors
/// None: writing to memory does not fail.
pub(super) fn csv(summary: &Summary) -> Result<String, csv::Error> {
    let mut table = csv::Writer::from_writer(Vec::new());
    for row in overview(summary).into_iter().chain(tables(summary)).chain(identities(summary)) {
        table.serialize(row)?;
    }
    let bytes = table.into_inner().map_err(|error| error.into_error())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn second(at: Timestamp) -> String {
    format!("{at:.0}")
}

fn overview(summary: &Summary) -> Vec<Row<'_>> {
    let (first, last) = (second(summary.span.since), second(summary.span.until));
    let mut rows = vec![Row { part: "total", first, last, ..Row::default() }.counts(&summary.total)];
    let lines = &summary.lines;
    if let Some(place) = &lines.first_unreadable {
        let subject = format!("{} line {}", place.file, place.line).into();
        rows.push(Row { part: "unreadable", subject, value: Some(lines.unreadable), ..Row::default() });
    }
    let left_out =
        [("lost", lines.lost), ("access-more", summary.access_more), ("refused-more", summary.refused_more)];
    let left_out = left_out.into_iter().filter(|(_, count)| *count > 0);
    rows.extend(left_out.map(|(part, count)| Row { part, value: Some(count), ..Row::default() }));
    rows.extend(summary.ended.iter().map(|(subject, count)| Row {
        part: "ended",
        subject: (*subject).into(),
        value: Some(*count),
        ..Row::default()
    }));
    rows
}

fn tables(summary: &Summary) -> impl Iterator<Item = Row<'_>> {
    unusual(summary)
        .chain(first_seen(summary))
        .chain(access(summary))
        .chain(refused(summary))
        .chain(endpoints(summary))
        .chain(models(summary))
        .chain(rules(summary))
}

fn unusual(summary: &Summary) -> impl Iterator<Item = Row<'_>> {
    summary.unusual.iter().map(|u| Row {
        part: "unusual",
        first: u.day.to_string(),
        identity: &u.identity,
        principal: &u.principal,
        subject: u.measure.name().into(),
        value: Some(u.value),
        usual: Some(u.usual),
        ..Row::default()
    })
}

fn first_seen(summary: &Summary) -> impl Iterator<Item = Row<'_>> {
    summary.first_seen.iter().map(|seen| {
        let row = Row {
            part: "first-seen",
            first: second(seen.time),
            identity: &seen.identity,
            node: &seen.node,
            principal: &seen.principal,
            ..Row::default()
        };
        row.counts(&seen.tally)
    })
}

fn access(summary: &Summary) -> impl Iterator<Item = Row<'_>> {
    summary.access.iter().map(|change| Row {
        part: "access",
        first: second(change.time),
        identity: &change.identity,
        node: &change.node,
        principal: &change.principal,
        subject: change.access.name().into(),
        value: Some(change.port.into()),
        ..Row::default()
    })
}

fn refused(summary: &Summary) -> impl Iterator<Item = Row<'_>> {
    summary.refused.iter().map(|refused| Row {
        part: "refused",
        first: second(refused.first),
        last: second(refused.last),
        identity: &refused.identity,
        node: &refused.node,
        principal: &refused.principal,
        rule: &refused.rule,
        subject: refused.attempt().into(),
        value: Some(refused.count),
        ..Row::default()
    })
}

fn endpoints(summary: &Summary) -> impl Iterator<Item = Row<'_>> {
    summary.endpoints.iter().map(|asked| {
        let subject = asked.endpoint.as_str().into();
        Row { part: "endpoint", subject, ..Row::default() }.counts(&asked.tally)
    })
}

fn models(summary: &Summary) -> impl Iterator<Item = Row<'_>> {
    summary.models.iter().map(|used| {
        let subject = used.model.as_str().into();
        Row { part: "model", subject, ..Row::default() }.counts(&used.tally)
    })
}

fn rules(summary: &Summary) -> impl Iterator<Item = Row<'_>> {
    summary.rules.iter().map(|(rule, count)| Row {
        part: "rule",
        rule,
        value: Some(*count),
        ..Row::default()
    })
}

fn identities(summary: &Summary) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    for id in &summary.identities {
        let row = |part| Row { part, identity: &id.identity, principal: &id.principal, ..Row::default() };
        let (first, last) = (second(id.first), second(id.last));
        rows.push(Row { first, last, ..row("identity") }.counts(&id.tally));
        rows.extend(id.endpoints.iter().map(|asked| {
            let subject = asked.endpoint.as_str().into();
            Row { subject, ..row("identity-endpoint") }.counts(&asked.tally)
        }));
        rows.extend(
            id.days
                .iter()
                .map(|day| Row { first: day.day.to_string(), ..row("identity-day") }.counts(&day.tally)),
        );
    }
    if summary.others != Tally::default() {
        rows.push(Row { part: "others", ..Row::default() }.counts(&summary.others));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_neither_a_formula_nor_more_than_its_field() {
        for (text, written) in [
            ("laptop", "laptop"),
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("-1+1", "'-1+1"),
            (" @SUM(A1)", "' @SUM(A1)"),
            ("＝1", "'＝1"),
            ("a\",=1", "\"a\"\",=1\""),
        ] {
            let mut table = csv::WriterBuilder::new().has_headers(false).from_writer(Vec::new());
            table.serialize(Row { node: text, ..Row::default() }).unwrap();
            let row = String::from_utf8(table.into_inner().unwrap()).unwrap();
            assert!(row.starts_with(&format!(",,,,{written},,")), "{row}");
        }
    }
}

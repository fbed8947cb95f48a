//! The report for people. A line has at most 100 columns, unless the name of a device, a user or a model is longer: names come
//! last in a row and are never cut. Texts that a client chose are.

use std::fmt::Write;
use std::time::Duration;

use jiff::Timestamp;

use super::super::units::{self, bytes, count};
use crate::history::{FACTOR, Measure, Summary, Tally, Unusual};

/// How many rows of each table are shown.
const ROWS: usize = 20;

pub(super) fn text(summary: &Summary) -> String {
    let mut text = head(summary);
    add_unusual(&mut text, summary);
    add_first_seen(&mut text, summary);
    add_access(&mut text, summary);
    add_refused(&mut text, summary);
    add_identities(&mut text, summary);
    if summary.total.counts_tokens() {
        add_tokens(&mut text, summary);
    }
    if !summary.models.is_empty() {
        add_models(&mut text, summary);
    }
    add_endpoints_and_rules(&mut text, summary);
    text
}

fn add_unusual(text: &mut String, summary: &Summary) {
    let unusual = summary.unusual.iter().map(unusual);
    let title =
        format!("unusual volume: days with more than {FACTOR} times the identity's median day before");
    table(text, &title, unusual, 0);
}

fn add_first_seen(text: &mut String, summary: &Summary) {
    let first_seen = summary.first_seen.iter().map(|seen| {
        let (device, tally) = (device(&seen.node, &seen.principal), &seen.tally);
        let did = format!("{}, {} refused", number(tally.requests, "request"), tally.refused);
        format!("{}  {did:<27}  {device}", second(seen.time))
    });
    let title = match (summary.known_before, summary.first_seen_more) {
        (false, _) => "first seen: every device, since no record is older than the span",
        (true, true) => "first seen: incomplete, since there are more devices than the report keeps",
        (true, false) => "first seen",
    };
    table(text, title, first_seen, 0);
}

fn add_access(text: &mut String, summary: &Summary) {
    let access = summary.access.iter().map(|change| {
        let device = device(&change.node, &change.principal);
        format!("{}  {:<8} port {:<6} {device}", second(change.time), change.access.name(), change.port)
    });
    let no_journal = summary.lines.journal_from.is_none().then(|| "no journal was read".to_owned());
    let title = "access gained, changed and lost";
    table(text, title, access.chain(no_journal), summary.access_more);
}

fn add_refused(text: &mut String, summary: &Summary) {
    let refused = summary.refused.iter().map(|r| {
        let device = device(&r.node, &r.principal);
        let (rule, asked) = (cut(&r.rule, 12), cut(&r.attempt(), 24));
        format!("{:>6} {rule:<12} {} {asked:<24}  {device}", r.count, second(r.last))
    });
    table(text, "refused attempts: how often, by which rule, and when last", refused, summary.refused_more);
}

fn add_identities(text: &mut String, summary: &Summary) {
    let identities = summary.identities.iter().map(|id| {
        let tagged = id.principal != id.identity;
        let who = if tagged { device(&id.identity, &id.principal) } else { id.identity.clone() };
        row(&id.tally, &who)
    });
    let others = (summary.others != Tally::default()).then(|| row(&summary.others, "all others"));
    counted(text, "by identity", identities.chain(others));
}

fn add_tokens(text: &mut String, summary: &Summary) {
    let tokens = summary.identities.iter().map(|id| (&id.tally, &*id.identity));
    let tokens = tokens.chain([(&summary.others, "all others")]).filter(|(tally, _)| tally.counts_tokens());
    let tokens = tokens.map(|(tally, who)| {
        let [input, output] = token_cells(tally);
        format!("{input:>12} {output:>12} {:>10}  {who}", tally.tokens_untold)
    });
    let title = "tokens, where they are counted, and how many answers reported none";
    let heads = format!("{title}\n  {:>12} {:>12} {:>10}", "in", "out", "unreported");
    table(text, &heads, tokens, 0);
}

fn add_models(text: &mut String, summary: &Summary) {
    let models = summary.models.iter().map(|used| {
        let Tally { requests, tokens_untold, worked, .. } = used.tally;
        let ([input, output], worked) = (token_cells(&used.tally), time(worked));
        format!("{requests:>8} {input:>12} {output:>12} {tokens_untold:>10} {worked:>11}  {}", used.model)
    });
    let title = "by model, where usage is counted; other: not in Ollama's list";
    let heads = format!(
        "{title}\n  {:>8} {:>12} {:>12} {:>10} {:>11}",
        "requests", "tokens in", "tokens out", "unreported", "ollama"
    );
    table(text, &heads, models, 0);
}

fn add_endpoints_and_rules(text: &mut String, summary: &Summary) {
    counted(text, "by endpoint", summary.endpoints.iter().map(|a| row(&a.tally, &cut(&a.endpoint, 41))));
    let rules = summary.rules.iter().map(|(rule, count)| format!("{count:>7} {}", cut(rule, 60)));
    table(text, "by rule that refused", rules, 0);
}

fn head(summary: &Summary) -> String {
    let Summary { span, lines, total, .. } = summary;
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        // Writing to a String can't fail.
        let _ = writeln!(text, "{name:<10} {}", cut(value, 89));
    };
    line("span", &format!("{} to {}", second(span.since), second(span.until)));
    let begins =
        |at: Option<Timestamp>| at.map_or("none was read".to_owned(), |at| format!("from {}", second(at)));
    line("access log", &begins(lines.log_from));
    line("journal", &begins(lines.journal_from));
    if let Some(place) = &lines.first_unreadable {
        let n = format!("{} of {} can't be read", lines.unreadable, number(lines.read, "line"));
        line("unreadable", &format!("{n}, the first is line {} of {}", place.line, place.file));
    }
    if lines.lost > 0 {
        line(
            "lost",
            &format!(
                "{} could not be written, so their figures are missing here",
                number(lines.lost, "line")
            ),
        );
    }
    let ended: Vec<_> = summary.ended.iter().map(|(how, n)| format!("{n} {how}")).collect();
    match total.requests {
        0 => line("requests", "none in the span"),
        n => line("requests", &format!("{n}: {}", ended.join(", "))),
    }
    let refused = number(total.refused, "attempt");
    line("refused", &format!("{refused}, including peers refused before a request"));
    line("traffic", &format!("{} in, {} out", bytes(total.bytes_in), bytes(total.bytes_out)));
    if total.counts_tokens() {
        let none = number(total.tokens_untold, "answer");
        let tokens = match token_counts(total) {
            [Some(input), Some(output)] if total.tokens_untold == 0 => format!("{input} in, {output} out"),
            [Some(input), Some(output)] => format!("{input} in, {output} out; {none} reported none"),
            _ => format!("unknown: {none} reported none"),
        };
        line("tokens", &tokens);
    }
    line(
        "ollama",
        &format!("worked for {}, failed at {}", time(total.worked), number(total.errors, "request")),
    );
    text
}

fn unusual(unusual: &Unusual) -> String {
    let shown = |n: u64| match unusual.measure {
        Measure::Requests | Measure::Refused => n.to_string(),
        Measure::Bytes => bytes(n),
        Measure::OllamaMs => time(Duration::from_millis(n)),
    };
    let what = match unusual.measure {
        Measure::Requests => "requests",
        Measure::Refused => "refused attempts",
        Measure::Bytes => "of traffic",
        Measure::OllamaMs => "of Ollama's time",
    };
    let much = format!("{} {what}, usual {}", shown(unusual.value), shown(unusual.usual));
    format!("{}  {much:<36}  {}", unusual.day, unusual.identity)
}

/// Tokens in and out; `None` if no answer reported any.
fn token_counts(tally: &Tally) -> [Option<String>; 2] {
    let counts = [tally.tokens_in, tally.tokens_out];
    counts.map(|count| (counts != [0, 0]).then(|| count.to_string()))
}

/// The same in a table.
fn token_cells(tally: &Tally) -> [String; 2] {
    token_counts(tally).map(|count| count.unwrap_or("-".to_owned()))
}

/// As [`units::time`], but at least `0.1s` if it is any time at all.
fn time(duration: Duration) -> String {
    match duration.as_millis() {
        1..1000 => format!("0.{}s", (duration.as_millis() / 100).max(1)),
        _ => units::time(duration),
    }
}

fn second(at: Timestamp) -> String {
    format!("{at:.0}")
}

fn number(n: u64, what: &str) -> String {
    count(usize::try_from(n).unwrap_or(usize::MAX), what)
}

fn device(node: &str, principal: &str) -> String {
    format!("{node} ({principal})")
}

fn row(tally: &Tally, name: &str) -> String {
    let Tally { requests, refused, errors, bytes_in, bytes_out, worked, .. } = tally;
    let (bytes_in, bytes_out) = (bytes(*bytes_in), bytes(*bytes_out));
    let worked = time(*worked);
    format!("{requests:>8} {refused:>8} {errors:>7} {bytes_in:>8} {bytes_out:>8} {worked:>11}  {name}")
}

/// A table with rows of [`row`].
fn counted(text: &mut String, title: &str, rows: impl Iterator<Item = String>) {
    let heads = format!(
        "{title}\n  {:>8} {:>8} {:>7} {:>8} {:>8} {:>11}",
        "requests", "refused", "errors", "in", "out", "ollama"
    );
    table(text, &heads, rows, 0);
}

/// A title with its rows. `more` rows are no longer known.
fn table(text: &mut String, title: &str, rows: impl Iterator<Item = String>, more: u64) {
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        let title = title.split('\n').next().unwrap_or_default();
        let _ = writeln!(text, "\n{title}\n  none");
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for row in rows.iter().take(ROWS) {
        let _ = writeln!(text, "  {row}");
    }
    let hidden = rows.len().saturating_sub(ROWS);
    if hidden > 0 {
        let _ = writeln!(text, "  … and {hidden} more, with --format json or csv");
    }
    if more > 0 {
        let _ = writeln!(text, "  … and {more} beyond what is kept");
    }
}

/// `text`, cut to `most` characters.
fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    text.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn less_than_a_second_is_not_shown_as_none() {
        for (ms, shown) in
            [(0, "0s"), (1, "0.1s"), (199, "0.1s"), (999, "0.9s"), (1000, "1s"), (61_500, "1m 1s")]
        {
            assert_eq!(time(Duration::from_millis(ms)), shown, "{ms}");
        }
    }
}

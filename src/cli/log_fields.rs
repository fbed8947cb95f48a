//! The fields of a line in the log, as text. The text is that of tracing-subscriber's own formatter, which looks for styles in each
//! field and for escapes in each character. Without colours, this one writes a plain field directly. The line of a request has
//! about twenty fields.

use std::error::Error;
use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput as _};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultFields, DefaultVisitor, Writer};

/// Formats the fields of a log in text, with colours or without.
pub(super) struct LogFields;

impl<'writer> FormatFields<'writer> for LogFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        if writer.has_ansi_escapes() {
            return DefaultFields::new().format_fields(writer, fields);
        }
        let mut visitor = Visitor { writer, is_empty: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Visitor<'writer> {
    writer: Writer<'writer>,
    is_empty: bool,
    result: fmt::Result,
}

impl Visitor<'_> {
    /// Writes `name=` and the value.
    fn put(&mut self, name: &str, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let space = if std::mem::take(&mut self.is_empty) { "" } else { " " };
        let writer = &mut self.writer;
        self.result = self
            .result
            .and_then(|()| writer.write_str(space))
            .and_then(|()| writer.write_str(name))
            .and_then(|()| writer.write_char('='))
            .and_then(|()| value(writer));
    }

    /// Leaves the field to tracing-subscriber.
    fn put_as_default(&mut self, record: impl FnOnce(&mut DefaultVisitor<'_>)) {
        if self.result.is_err() {
            return;
        }
        let mut visitor = DefaultVisitor::new(self.writer.by_ref(), std::mem::take(&mut self.is_empty));
        record(&mut visitor);
        self.result = visitor.finish();
    }
}

/// Whether the field is no `name=value`: a message has no name and is made safe for terminals, and `r#type` is shown as `type`.
fn is_special(field: &Field) -> bool {
    field.name() == "message" || field.name().starts_with("r#")
}

/// Whether `{:?}` of the text is the text in quotes.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if is_special(field) || !is_plain(value) {
            return self.put_as_default(|visitor| visitor.record_str(field, value));
        }
        self.put(field.name(), |writer| {
            writer.write_char('"')?;
            writer.write_str(value)?;
            writer.write_char('"')
        });
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.put_as_default(|visitor| visitor.record_error(field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if is_special(field) {
            return self.put_as_default(|visitor| visitor.record_debug(field, value));
        }
        self.put(field.name(), |writer| write!(writer, "{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::fmt::{MakeWriter, layer};
    use tracing_subscriber::prelude::*;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(line)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Lines;

        fn make_writer(&'a self) -> Lines {
            self.clone()
        }
    }

    /// An error with a source.
    fn error() -> io::Error {
        io::Error::other(Box::<dyn Error + Send + Sync>::from(io::Error::other("\x1b[31mred")))
    }

    #[test]
    fn fields_read_as_those_of_the_library() {
        for ansi in [false, true] {
            let (ours, theirs) = (Lines::default(), Lines::default());
            let our_layer = layer().without_time().with_ansi(ansi).with_writer(ours.clone());
            let their_layer = layer().without_time().with_ansi(ansi).with_writer(theirs.clone());
            let subscriber =
                tracing_subscriber::registry().with(our_layer.fmt_fields(LogFields)).with(their_layer);
            tracing::subscriber::with_default(subscriber, || {
                let span = tracing::info_span!("request", id = "a-1", endpoint = tracing::field::Empty);
                let _entered = span.enter();
                span.record("endpoint", "api \"tags\"");
                tracing::info!(
                    plain = "a b~", quote = "a\"b", slash = "a\\b", escape = "\x1b[0m", wide = "é\u{202e}", empty = "",
                    number = 7, negative = -7, float = 0.5, whole = 2.0, yes = true, none = Option::<u8>::None,
                    shown = %"a b", debugged = ?Some("a"), "message \x1b[31m {}", 1,
                );
                tracing::warn!(error = &error() as &dyn Error, r#type = "a", only = 1);
                tracing::error!("only a message");
                tracing::error!(message = "a message as a field", last = 1);
            });
            let text = |lines: &Lines| String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
            assert_eq!(text(&ours), text(&theirs));
            assert_eq!(text(&ours).lines().count(), 4);
        }
    }
}

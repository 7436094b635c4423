//! The log: on standard error, pretty with a picture per area, or JSON with the area as a field.

use std::fmt;
use std::io::IsTerminal;

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::config::{LogFormat, Settings};

/// Sends what is logged to standard error. What libraries of others say is heard from `warn` on.
pub(crate) fn start(settings: &Settings) {
    let level = settings.log.level.as_str();
    let others = if level == "error" { "error" } else { "warn" };
    let filter = EnvFilter::new(format!("{others},reclaimer={level}"));
    let terminal = std::io::stderr().is_terminal();
    let pretty = match settings.log.format {
        LogFormat::Auto => terminal,
        LogFormat::Pretty => true,
        LogFormat::Json => false,
    };
    // A log that cannot be written, on a full disk say, ends nothing: what the library would complain to is the same log, and
    // that it cannot be written either would be a panic.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    // A second subscriber in one process cannot happen outside tests, where the first one serves.
    let _ = if pretty {
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        builder.with_ansi(colour).event_format(Pretty).try_init()
    } else {
        builder.json().flatten_event(true).with_span_list(false).with_target(false).try_init()
    };
}

/// What stands before a line of an area.
fn picture(area: &str, level: Level) -> &'static str {
    let bad = level == Level::ERROR;
    match area {
        "STARTUP-RECOVERY" => "🚀",
        "JOB-RECOVERY" => "🔄",
        "JOB-MANAGER" if bad => "❌",
        "JOB-MANAGER" => "📋",
        "SUPERVISOR" => "✅",
        "MESSAGEBUS" if bad => "🚨",
        "MESSAGEBUS" => "🔌",
        _ => "·",
    }
}

/// One line per event: time, level, area, message, fields.
struct Pretty;

/// Which request and job an event concerns, as its spans say.
fn concerned<S, N>(context: &FmtContext<'_, S, N>) -> String
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let mut text = String::new();
    for span in context.event_scope().into_iter().flatten() {
        let extensions = span.extensions();
        if let Some(fields) = extensions.get::<FormattedFields<N>>().filter(|fields| !fields.is_empty()) {
            text.push(' ');
            text.push_str(&fields.fields);
        }
    }
    text
}

/// The parts of an event.
#[derive(Default)]
struct Parts {
    area: String,
    message: String,
    fields: String,
}

impl Parts {
    fn add(&mut self, field: &Field, text: &dyn fmt::Display) {
        match field.name() {
            "area" => self.area = text.to_string(),
            "message" => self.message = text.to_string(),
            name => self.fields.push_str(&format!(" {name}={text}")),
        }
    }
}

impl Visit for Parts {
    fn record_str(&mut self, field: &Field, value: &str) {
        // A value that came from outside stays on its line.
        if value.chars().any(|c| c.is_control() || c == ' ' || c == '"') && field.name() != "message" {
            self.add(field, &format_args!("{value:?}"));
        } else {
            self.add(field, &value);
        }
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, &format_args!("{value:.1}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        if text.chars().any(char::is_control) {
            self.add(field, &text.escape_debug());
        } else {
            self.add(field, &text);
        }
    }
}

impl<S, N> FormatEvent<S, N> for Pretty
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut out: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut parts = Parts::default();
        event.record(&mut parts);
        let level = *event.metadata().level();
        if parts.area.is_empty() {
            event.metadata().target().clone_into(&mut parts.area);
        }
        let (colour, dim, off) = match (out.has_ansi_escapes(), level) {
            (false, _) => ("", "", ""),
            (true, Level::ERROR) => ("\u{1b}[31m", "\u{1b}[2m", "\u{1b}[0m"),
            (true, Level::WARN) => ("\u{1b}[33m", "\u{1b}[2m", "\u{1b}[0m"),
            (true, _) => ("", "\u{1b}[2m", "\u{1b}[0m"),
        };
        out.write_str(dim)?;
        SystemTime.format_time(&mut out)?;
        let picture = picture(&parts.area, level);
        writeln!(
            out,
            "{off} {colour}{level:<5}{off} {picture} {} {colour}{}{off}{dim}{}{}{off}",
            parts.area,
            parts.message,
            parts.fields,
            concerned(context)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_area_has_its_picture() {
        assert_eq!(picture("STARTUP-RECOVERY", Level::INFO), "🚀");
        assert_eq!(picture("JOB-RECOVERY", Level::WARN), "🔄");
        assert_eq!(picture("JOB-MANAGER", Level::INFO), "📋");
        assert_eq!(picture("JOB-MANAGER", Level::ERROR), "❌");
        assert_eq!(picture("MESSAGEBUS", Level::ERROR), "🚨");
    }
}

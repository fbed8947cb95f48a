//! Reading typed values from JSON. Each fault is collected, and reading goes on.

use super::fault::FileFault;
use super::hujson::{Json, Value};

/// A value and its path, such as `grants[2].src`.
#[derive(Clone)]
pub(super) struct At<'a> {
    pub(super) key: String,
    json: &'a Json,
}

impl<'a> At<'a> {
    pub(super) fn root(json: &'a Json) -> At<'a> {
        At { key: String::new(), json }
    }

    pub(super) fn line(&self) -> usize {
        self.json.line
    }

    pub(super) fn json(&self) -> serde_json::Value {
        self.json.to_json()
    }

    /// A fault about this value.
    pub(super) fn fault(&self, reason: impl Into<String>) -> FileFault {
        let value = match &self.json.value {
            Value::Object(_) => String::new(),
            _ => self.json.to_json().to_string(),
        };
        FileFault::new(self.json.line, &self.key, &value, reason)
    }

    fn wrong_type(&self, what: &str, faults: &mut Vec<FileFault>) {
        faults.push(self.fault(format!("is {}; want {what}", self.json.kind())));
    }

    pub(super) fn is_list(&self) -> bool {
        matches!(self.json.value, Value::List(_))
    }

    pub(super) fn text(&self, faults: &mut Vec<FileFault>) -> Option<&'a str> {
        match &self.json.value {
            Value::Text(text) => Some(text),
            _ => {
                self.wrong_type("a string", faults);
                None
            }
        }
    }

    pub(super) fn list(&self, faults: &mut Vec<FileFault>) -> Vec<At<'a>> {
        match &self.json.value {
            Value::List(items) => {
                let at = |(i, json)| At { key: format!("{}[{i}]", self.key), json };
                items.iter().enumerate().map(at).collect()
            }
            _ => {
                self.wrong_type("a list", faults);
                Vec::new()
            }
        }
    }

    /// The strings of a list.
    pub(super) fn texts(&self, faults: &mut Vec<FileFault>) -> Vec<(At<'a>, &'a str)> {
        let items = self.list(faults);
        items.into_iter().filter_map(|at| at.text(faults).map(|text| (at, text))).collect()
    }

    /// All fields of an object.
    pub(super) fn entries(&self, faults: &mut Vec<FileFault>) -> Vec<(&'a str, At<'a>)> {
        match &self.json.value {
            Value::Object(fields) => {
                let path = |name: &str| match self.key.as_str() {
                    "" => name.to_owned(),
                    key => format!("{key}.{name}"),
                };
                fields.iter().map(|(name, json)| (name.as_str(), At { key: path(name), json })).collect()
            }
            _ => {
                self.wrong_type("an object", faults);
                Vec::new()
            }
        }
    }

    /// The fields with these names, in this order. `src|users` is a name and its older form. Like Tailscale, this ignores
    /// case.
    pub(super) fn fields<const N: usize>(
        &self,
        names: [&str; N],
        faults: &mut Vec<FileFault>,
    ) -> [Option<At<'a>>; N] {
        let mut found = [const { None }; N];
        for (name, at) in self.entries(faults) {
            let same = |known: &&str| known.split('|').any(|n| n.eq_ignore_ascii_case(name));
            match names.iter().position(same) {
                None => {
                    let known: Vec<_> = names.iter().filter_map(|n| n.split('|').next()).collect();
                    let reason = format!("unknown key; want one of {}", known.join(", "));
                    faults.push(FileFault::new(at.line(), &at.key, "", reason));
                }
                Some(i) if found[i].is_some() => {
                    faults.push(FileFault::new(at.line(), &at.key, "", "appears twice; write it once"));
                }
                Some(i) => found[i] = Some(at),
            }
        }
        found
    }
}

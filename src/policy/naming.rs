//! Where a request names its model, for usage by model. Nothing is refused here: a request whose model the proxy can't tell
//! for certain is still forwarded.

use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use super::body::ModelReader;
use super::decide::Permit;
use super::endpoint::ModelSource;
use super::models::{decoded_name, is_coding, is_multipart, name_in_path};

/// Where a request names its model.
#[derive(Debug)]
pub enum ModelNaming {
    /// In its path or query, by this name.
    Head(String),
    /// In its body, which this reads.
    Body(ModelReader),
    /// Where the proxy does not read: in a multipart form or a compressed body.
    Unread,
}

impl Permit {
    /// Where the request, which has these headers, names its model; `None` if it is about no single model.
    pub fn model_naming(&self, headers: &HeaderMap) -> Option<ModelNaming> {
        if self.is_preflight() {
            return None;
        }
        let has = |name, is: fn(&_) -> bool| headers.get_all(name).iter().any(is);
        let named = |name: Option<String>| name.map_or(ModelNaming::Unread, ModelNaming::Head);
        Some(match self.endpoint().model_source()? {
            ModelSource::Path => ModelNaming::Head(name_in_path(self.target().path())),
            ModelSource::Form => named(self.target().query().and_then(name_in_query)),
            ModelSource::Body(_) if has(CONTENT_TYPE, is_multipart) || has(CONTENT_ENCODING, is_coding) => {
                ModelNaming::Unread
            }
            ModelSource::Body(keys) => ModelNaming::Body(ModelReader::new(keys)),
        })
    }
}

/// The value of `model`, if that is all the query has. With several parameters Go and the proxy could pick different ones. Of the
/// characters of a name, clients encode `:` and `/`; with any other encoded character the text is no name.
///
/// Source: Ollama takes `FormValue("model")`, for which Go's `net/http` reads the query before a multipart form.
fn name_in_query(query: &str) -> Option<String> {
    let value = query.strip_prefix("model=").filter(|value| !value.contains(['&', ';', '+']))?;
    Some(decoded_name(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_names_a_model_only_if_it_has_nothing_else() {
        for (query, name) in [
            ("model=whisper", Some("whisper")),
            ("model=someone%2Fwhisper%3a1b", Some("someone/whisper:1b")),
            ("model=", Some("")),
            ("model=a&model=b", None),
            ("m%6fdel=a", None),
            ("model=a;b", None),
            ("model=a+b", None),
            ("model=%ff", Some("%ff")),
            ("x=1&model=a", None),
            ("", None),
        ] {
            assert_eq!(name_in_query(query).as_deref(), name, "{query}");
        }
    }
}

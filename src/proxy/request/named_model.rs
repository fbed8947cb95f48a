//! The model that a request names, for usage by model. It is learned while the request passes, unchanged and without delay.

use std::sync::Arc;

use http::HeaderMap;
use parking_lot::Mutex;

use crate::ollama::Upstream;
use crate::policy::{ModelNaming, Permit};
use crate::proxy::request::listed_models::ListedModels;

/// The model of one request. Shared by the request and its body.
pub(crate) struct NamedModel {
    naming: Mutex<ModelNaming>,
    listed: Arc<ListedModels>,
    upstream: Arc<Upstream>,
}

impl NamedModel {
    /// The model of a request with this permit and these headers; `None` if it is about no single model.
    pub(super) fn of(
        permit: &Permit,
        headers: &HeaderMap,
        listed: &Arc<ListedModels>,
        upstream: &Arc<Upstream>,
    ) -> Option<Arc<NamedModel>> {
        let naming = permit.model_naming(headers)?;
        if matches!(naming, ModelNaming::Head(_)) {
            listed.refresh(upstream);
        }
        let (listed, upstream) = (Arc::clone(listed), Arc::clone(upstream));
        Some(Arc::new(NamedModel { naming: Mutex::new(naming), listed, upstream }))
    }

    /// Reads the next bytes of the body. The whole body is read, since a second name may come last.
    pub(crate) fn feed(&self, bytes: &[u8]) {
        let mut naming = self.naming.lock();
        let ModelNaming::Body(reader) = &mut *naming else { return };
        let was_known = reader.model().is_some();
        if reader.feed(bytes).is_err() {
            *naming = ModelNaming::Unread;
        } else if !was_known && reader.model().is_some() {
            self.listed.refresh(&self.upstream);
        }
    }

    /// The model as Ollama lists it; `None` if Ollama does not list it, or the request names no certain model.
    pub(crate) fn name(&self) -> Option<Arc<str>> {
        let naming = self.naming.lock();
        let sent = match &*naming {
            ModelNaming::Head(name) => Some(name.as_str()),
            ModelNaming::Body(reader) => reader.model(),
            ModelNaming::Unread => None,
        };
        self.listed.name(sent?)
    }
}

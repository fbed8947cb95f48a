//! Finds out which model a request asks for, where a rule is about models, and whether it may be used. The body is held
//! back until then; [`Upload`](crate::proxy::upstream::upload::Upload) checks all that follows.

use std::collections::VecDeque;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::io::AsyncRead;

use crate::ollama::Upstream;
use crate::policy::{BodyFault, Model, ModelCheck, ModelReader, ModelRefusal, Refusal};
use crate::proxy::refusal::failure::Failure;
use crate::proxy::request::local_models::{LocalModels, ModelLocation};
use crate::proxy::sessions::request_body::RequestBody;
use crate::proxy::sessions::stream::state::StreamFault;
use crate::proxy::sessions::stream::watch::Watch;
use crate::proxy::upstream::upload::BodyStart;

/// The check of one request's model.
pub(super) struct ModelLookup<'a, Io> {
    pub(super) check: &'a ModelCheck,
    pub(super) local_models: &'a LocalModels,
    pub(super) upstream: &'a Upstream,
    pub(super) watch: &'a Watch<Io>,
}

/// The beginning of a body, up to the name of the model or beyond it.
struct Peeked {
    frames: VecDeque<Frame<Bytes>>,
    /// Has read the frames.
    reader: ModelReader,
    /// The model, as the client calls it.
    name: String,
}

impl<Io: AsyncRead + Unpin> ModelLookup<'_, Io> {
    /// Reads as much of `body` as it takes to learn the model, at most `max` bytes. Returns what was read.
    ///
    /// # Errors
    /// The model may not be used, or can't be determined.
    pub(super) async fn run(&self, body: &mut RequestBody, max: u64) -> Result<BodyStart, Failure> {
        if let Some(model) = self.check.known() {
            self.check_location(model, &model.to_string()).await?;
            return Ok(BodyStart::default());
        }
        if !self.check.needs_model() {
            return Ok(BodyStart { frames: VecDeque::new(), reader: Some(self.check.reader()) });
        }
        let Peeked { frames, reader, name } = self.peek(body, max).await?;
        let model = self.check.admit(&name).map_err(refused)?;
        self.check_location(&model, &name).await?;
        Ok(BodyStart { frames, reader: Some(reader) })
    }

    /// Checks that `model`, which the client calls `name`, is on this machine, if the rules ask for that.
    async fn check_location(&self, model: &Model, name: &str) -> Result<(), Failure> {
        if !self.check.local_only() {
            return Ok(());
        }
        let location = self.watch.unless_fault(self.local_models.look_up(self.upstream, model)).await?;
        match location.map_err(Failure::UnknownLocation)? {
            ModelLocation::Local => Ok(()),
            ModelLocation::Remote => Err(refused(ModelRefusal::cloud(name))),
            ModelLocation::Unlisted => Err(refused(ModelRefusal::not_here(name))),
        }
    }

    async fn peek(&self, body: &mut RequestBody, max: u64) -> Result<Peeked, Failure> {
        let mut reader = self.check.reader();
        let (mut frames, mut read) = (VecDeque::new(), 0);
        loop {
            if let Some(name) = reader.model() {
                let name = name.to_owned();
                return Ok(Peeked { frames, reader, name });
            }
            if !frames.is_empty() && body.is_end_stream() {
                return Err(body_refused(BodyFault::Missing));
            }
            if read >= self.check.within() {
                return Err(body_refused(BodyFault::TooFar(self.check.within())));
            }
            let frame = match self.watch.unless_fault(body.frame()).await? {
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Err(self.watch.fault().unwrap_or(StreamFault::Left).into()),
                None => return Err(body_refused(BodyFault::Missing)),
            };
            if let Some(data) = frame.data_ref() {
                read += data.len() as u64;
                if read > max {
                    return Err(Failure::TooLarge(max));
                }
                reader.feed(data).map_err(body_refused)?;
            }
            frames.push_back(frame);
        }
    }
}

fn refused(refusal: ModelRefusal) -> Failure {
    Failure::Refused(Refusal::Model(refusal))
}

/// The model can't be determined, or the body changes a setting that it may not change.
fn body_refused(fault: BodyFault) -> Failure {
    refused(fault.into())
}

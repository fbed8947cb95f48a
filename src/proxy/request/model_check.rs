//! Finds out which model a request asks for, where a rule is about models, and whether it may be used. The body is held
//! back until then; [`Upload`](crate::proxy::upstream::upload::Upload) checks all that follows.

use std::collections::VecDeque;

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::io::AsyncRead;

use crate::policy::{Doubt, Model, ModelCheck, ModelRefusal, Reader, Refusal};
use crate::proxy::refusal::failure::Failure;
use crate::proxy::request::cloud::{Cloud, ModelLocation};
use crate::proxy::sessions::request_body::RequestBody;
use crate::proxy::sessions::stream::state::StreamFault;
use crate::proxy::sessions::stream::watch::Watch;
use crate::proxy::upstream::upload::BodyStart;
use crate::upstream::Upstream;

/// Reads at most `max` bytes of `body` to learn the model. Returns what was read.
///
/// # Errors
/// The model may not be used, or can't be determined.
pub(super) async fn check_model<Io: AsyncRead + Unpin>(
    check: &ModelCheck,
    body: &mut RequestBody,
    max: u64,
    cloud: &Cloud,
    upstream: &Upstream,
    watch: &Watch<Io>,
) -> Result<BodyStart, Failure> {
    if let Some(model) = check.known() {
        check_location(check, model, &model.to_string(), cloud, upstream, watch).await?;
        return Ok(BodyStart::default());
    }
    let Peeked { frames, reader, name } = peek(check, body, max, watch).await?;
    let model = check.admit(&name).map_err(refused)?;
    check_location(check, &model, &name, cloud, upstream, watch).await?;
    Ok(BodyStart { frames, reader: Some(reader) })
}

fn refused(refusal: ModelRefusal) -> Failure {
    Failure::Refused(Refusal::Model(refusal))
}

/// Checks that `model`, which the client calls `name`, is on this machine, if the rules ask for that.
async fn check_location<Io: AsyncRead + Unpin>(
    check: &ModelCheck,
    model: &Model,
    name: &str,
    cloud: &Cloud,
    upstream: &Upstream,
    watch: &Watch<Io>,
) -> Result<(), Failure> {
    if !check.local_only() {
        return Ok(());
    }
    let location = watch.unless_fault(cloud.look_up(upstream, model)).await?;
    match location.map_err(Failure::UnknownLocation)? {
        ModelLocation::Local => Ok(()),
        ModelLocation::Remote => Err(refused(ModelRefusal::cloud(name))),
        ModelLocation::Unlisted => Err(refused(ModelRefusal::not_here(name))),
    }
}

/// The beginning of a body, up to the name of the model or beyond it.
struct Peeked {
    frames: VecDeque<Frame<Bytes>>,
    /// Has read the frames.
    reader: Reader,
    /// The model, as the client calls it.
    name: String,
}

/// Reads as much of a body as it takes to learn the model, at most what the rules say and `max` bytes.
async fn peek<Io: AsyncRead + Unpin>(
    check: &ModelCheck,
    body: &mut RequestBody,
    max: u64,
    watch: &Watch<Io>,
) -> Result<Peeked, Failure> {
    let unknown = |fault| refused(ModelRefusal::Untold(fault));
    let mut reader = check.reader();
    let (mut frames, mut read) = (VecDeque::new(), 0);
    loop {
        if let Some(name) = reader.model() {
            let name = name.to_owned();
            return Ok(Peeked { frames, reader, name });
        }
        if !frames.is_empty() && body.is_end_stream() {
            return Err(unknown(Doubt::Missing));
        }
        if read >= check.within() {
            return Err(unknown(Doubt::TooFar(check.within())));
        }
        let frame = match watch.unless_fault(body.frame()).await? {
            Some(frame) => frame.map_err(|_| Failure::from(watch.fault().unwrap_or(StreamFault::Left)))?,
            None => return Err(unknown(Doubt::Missing)),
        };
        if let Some(data) = frame.data_ref() {
            read += data.len() as u64;
            if read > max {
                return Err(Failure::TooLarge(max));
            }
            reader.feed(data).map_err(unknown)?;
        }
        frames.push_back(frame);
    }
}

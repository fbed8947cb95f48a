//! Looking at the beginning of a body for the model that it asks for, where a rule is about models. The bytes go on as they
//! came, and only once the rule lets them; [`Upload`](super::upload::Upload) looks at all that follows.

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::io::AsyncRead;

use super::refuse::Failure;
use super::rest::RequestBody;
use super::wire::{Trouble, Watch};
use crate::policy::{BodyFault, ModelCheck, ModelReader, ModelRefusal, Refusal};

/// What has been taken of a body until its model was known.
pub(super) struct Peeked {
    pub(super) frames: Vec<Frame<Bytes>>,
    /// Has taken the frames.
    pub(super) reader: ModelReader,
}

/// Takes as much of a body as it needs to know the model, at most what the rules say and `max` bytes.
pub(super) async fn peek<Io: AsyncRead + Unpin>(
    check: &ModelCheck,
    body: &mut RequestBody,
    max: u64,
    watch: &Watch<Io>,
) -> Result<Peeked, Failure> {
    let mut reader = check.reader();
    let (mut frames, mut taken) = (Vec::new(), 0);
    while reader.model().is_none() {
        let untold = |doubt| Failure::Refused(Refusal::Model(ModelRefusal::Body(doubt)));
        if taken >= check.within() {
            return Err(untold(BodyFault::TooFar(check.within())));
        }
        let frame = match watch.unless_trouble(body.frame()).await? {
            Some(frame) => frame.map_err(|_| Failure::from(watch.trouble().unwrap_or(Trouble::Left)))?,
            None => return Err(untold(BodyFault::Missing)),
        };
        if let Some(data) = frame.data_ref() {
            taken += data.len() as u64;
            if taken > max {
                return Err(Failure::TooLarge(max));
            }
            reader.feed(data).map_err(untold)?;
        }
        frames.push(frame);
        if reader.model().is_none() && body.is_end_stream() {
            return Err(untold(BodyFault::Missing));
        }
    }
    Ok(Peeked { frames, reader })
}

//! Looking at the beginning of a body for the model that it asks for, where a rule is about models. The bytes go on as they
//! came, and only once the rule lets them; [`Upload`](super::upload::Upload) looks at all that follows.

use bytes::Bytes;
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;
use tokio::io::AsyncRead;

use crate::policy::{Doubt, ModelCheck, ModelRefusal, Reader, Refusal};
use crate::proxy::refusal::failure::Failure;
use crate::proxy::sessions::request_body::RequestBody;
use crate::proxy::sessions::stream::{StreamFault, Watch};

/// What has been taken of a body until its model was known.
pub(crate) struct Peeked {
    pub(crate) frames: Vec<Frame<Bytes>>,
    /// Has taken the frames.
    pub(crate) reader: Reader,
}

/// Takes as much of a body as it needs to know the model, at most what the rules say and `max` bytes.
pub(crate) async fn peek<Io: AsyncRead + Unpin>(
    check: &ModelCheck,
    body: &mut RequestBody,
    max: u64,
    watch: &Watch<Io>,
) -> Result<Peeked, Failure> {
    let mut reader = check.reader();
    let (mut frames, mut taken) = (Vec::new(), 0);
    while reader.model().is_none() {
        let untold = |doubt| Failure::Refused(Refusal::Model(ModelRefusal::Untold(doubt)));
        if taken >= check.within() {
            return Err(untold(Doubt::TooFar(check.within())));
        }
        let frame = match watch.unless_fault(body.frame()).await? {
            Some(frame) => frame.map_err(|_| Failure::from(watch.trouble().unwrap_or(StreamFault::Left)))?,
            None => return Err(untold(Doubt::Missing)),
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
            return Err(untold(Doubt::Missing));
        }
    }
    Ok(Peeked { frames, reader })
}

//! Frames on the socket.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

/// Longest frame body in bytes, tag included; a longer one ends the connection.
pub const MAX_FRAME: usize = 4 << 20;

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A JSON message, not yet parsed.
    Json(Bytes),
    /// Bytes of a stream.
    Data {
        /// The stream, as a response named it.
        stream: u32,
        /// 0 input or console output, 1 standard output, 2 standard error.
        channel: u8,
        /// The bytes; empty from a client means end of input.
        bytes: Bytes,
    },
}

impl Frame {
    /// Encodes a message.
    ///
    /// # Errors
    /// Only when the message cannot be written as JSON.
    pub fn json<T: serde::Serialize>(message: &T) -> Result<Self, serde_json::Error> {
        Ok(Self::Json(serde_json::to_vec(message)?.into()))
    }
}

/// Why a connection's bytes make no sense.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The length is zero or beyond [`MAX_FRAME`].
    #[error("a frame of {0} bytes is not allowed")]
    Length(usize),
    /// The tag is unknown, or the body is shorter than its tag demands.
    #[error("a frame with the tag {0:#04x} makes no sense")]
    Tag(u8),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Encoder and decoder of [`Frame`]s.
#[derive(Debug, Default, Clone, Copy)]
pub struct Codec;

impl Decoder for Codec {
    type Item = Frame;
    type Error = FrameError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Frame>, FrameError> {
        let Some(head) = src.get(..4) else { return Ok(None) };
        let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
        if len == 0 || len > MAX_FRAME {
            return Err(FrameError::Length(len));
        }
        if src.len() < 4 + len {
            src.reserve(4 + len - src.len());
            return Ok(None);
        }
        src.advance(4);
        let mut body = src.split_to(len).freeze();
        match body.get_u8() {
            b'J' => Ok(Some(Frame::Json(body))),
            b'D' if body.len() >= 5 => {
                let stream = body.get_u32();
                let channel = body.get_u8();
                Ok(Some(Frame::Data { stream, channel, bytes: body }))
            }
            tag => Err(FrameError::Tag(tag)),
        }
    }
}

impl Encoder<Frame> for Codec {
    type Error = FrameError;

    fn encode(&mut self, frame: Frame, dst: &mut BytesMut) -> Result<(), FrameError> {
        let len = match &frame {
            Frame::Json(body) => 1 + body.len(),
            Frame::Data { bytes, .. } => 6 + bytes.len(),
        };
        if len > MAX_FRAME {
            return Err(FrameError::Length(len));
        }
        dst.reserve(4 + len);
        dst.put_u32(u32::try_from(len).map_err(|_| FrameError::Length(len))?);
        match frame {
            Frame::Json(body) => {
                dst.put_u8(b'J');
                dst.put(body);
            }
            Frame::Data { stream, channel, bytes } => {
                dst.put_u8(b'D');
                dst.put_u32(stream);
                dst.put_u8(channel);
                dst.put(bytes);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_wire_byte_by_byte() {
        let frames = [
            Frame::Json(Bytes::from_static(b"{}")),
            Frame::Data { stream: 7, channel: 2, bytes: Bytes::from_static(b"out") },
            Frame::Data { stream: 7, channel: 0, bytes: Bytes::new() },
        ];
        let mut wire = BytesMut::new();
        for f in &frames {
            Codec.encode(f.clone(), &mut wire).unwrap();
        }
        let (mut buf, mut got) = (BytesMut::new(), Vec::new());
        for b in wire {
            buf.put_u8(b);
            while let Some(f) = Codec.decode(&mut buf).unwrap() {
                got.push(f);
            }
        }
        assert_eq!(got, frames);
    }

    #[test]
    fn nonsense_is_an_error_not_memory() {
        for bytes in [&[0u8, 0, 0, 0][..], &[255, 255, 255, 255], &[0, 0, 0, 1, b'X'], &[0, 0, 0, 2, b'D', 1]]
        {
            assert!(Codec.decode(&mut BytesMut::from(bytes)).is_err(), "{bytes:?}");
        }
    }
}

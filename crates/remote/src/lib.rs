//! Remote write and remote read, both ways: what Prometheus and others push here, what is pushed on, what is read.

mod encode;
mod histogram;
mod message_type;
mod metric_kind;
mod read;
mod read_from;
mod receive;
mod sample;
mod send;
mod snappy;

pub use histogram::WireHistogram;
pub use message_type::MessageType;
pub use read::{MAX_READ_BODY, ReadAnswer, ReadError, ReadServer, ReadServerOptions};
#[doc(hidden)]
pub use read_from::answer_read;
pub use read_from::{LocalStart, ReadOptions, ReadServers, ReadSetupError, RemoteRead};
pub use receive::{MAX_WRITE_BODY, Receiver, ReceiverOptions, WriteAnswer, Written};
pub use send::{
    FamilyMetadata, MetadataOptions, PushedSample, QueueOptions, RemoteWrite, SendSetupError, SenderOptions,
    WriteOptions, pushed_body,
};

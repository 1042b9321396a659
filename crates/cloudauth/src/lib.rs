//! Who we are to the APIs of clouds: AWS signatures and the keys for them, tokens of Google, Azure and others.
//!
//! Nothing here is asked for twice while it is good, and nothing is kept on disk. Where keys may come from is what the
//! clouds' own SDKs look at, in their order; what the process was started with comes in as an [`Environment`].

mod answers;
mod aws;
mod azure;
mod environment;
mod error;
mod exchange;
mod google;
mod jwt;
mod oci;
mod ovh;
mod signers;
mod stackit;
mod token;

#[doc(hidden)]
pub use answers::answers_read;
pub use aws::{Account, AccountOptions, Answer, Keys, Scope, Service, sign};
pub use azure::{Azure, AzureCloud, AzureIdentity};
pub use environment::Environment;
pub use error::Error;
pub use google::{Google, GoogleSource};
pub use jwt::{Algorithm, SigningKey};
pub use oci::OciKey;
pub use ovh::OvhKeys;
pub use signers::{AwsSigner, TokenSigner};
pub use stackit::{Stackit, TextOrFile};

//! TLS on the listener. The certificate is read again when it changes; connections keep the one that they began with.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::config::Config;
use crate::reread::{BadFile, Reread};

/// The places of the two files.
const CERTIFICATE: usize = 0;
const KEY: usize = 1;

/// What TLS is spoken with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TlsConfig {
    /// The chain in PEM, the host's own certificate first.
    certificate: PathBuf,
    /// Its private key in PEM.
    key: PathBuf,
}

impl TlsConfig {
    /// That of a valid configuration; `None` where no TLS is spoken.
    pub(super) fn of(config: &Config) -> Option<Self> {
        Some(Self {
            certificate: config.tls_certificate.clone()?,
            key: config.tls_key.clone()?,
        })
    }
}

/// Speaks TLS.
#[derive(Debug)]
pub(super) struct Tls {
    certificate: Reread<Arc<ServerConfig>>,
}

impl Tls {
    /// Reads certificate and key.
    pub(super) fn open(config: TlsConfig) -> Result<Self, BadFile> {
        let files = vec![config.certificate, config.key];
        let certificate = Reread::open(files, |contents| match contents {
            [certificate, key] => server_config(certificate, key).map(Arc::new),
            _ => Err((CERTIFICATE, "is not all that is needed".to_owned())),
        })?;
        Ok(Self { certificate })
    }

    /// The handshake of one socket.
    pub(super) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = Arc::clone(&*self.certificate.current().await);
        TlsAcceptor::from(config).accept(stream).await
    }
}

fn server_config(certificate: &[u8], key: &[u8]) -> Result<ServerConfig, (usize, String)> {
    let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|error| (CERTIFICATE, format!("is no PEM: {error}")))?;
    if chain.is_empty() {
        return Err((CERTIFICATE, "has no certificate in PEM".to_owned()));
    }
    // Not what the parser says: it is about a secret.
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| {
        (
            KEY,
            "has no private key in PEM that is not encrypted".to_owned(),
        )
    })?;
    let wrong = |error: Error| match error {
        Error::InconsistentKeys(_) => (KEY, "is not the key of the certificate".to_owned()),
        Error::General(problem) => (KEY, format!("cannot be used: {problem}")),
        other => (CERTIFICATE, format!("cannot be used: {other}")),
    };
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(wrong)?;
    // A WebSocket begins with HTTP/1.1; who offers something else alone is told so by the handshake.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

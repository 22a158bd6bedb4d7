//! From a destination to a socket: look up its name, check what comes of it, connect to that very address.
//!
//! There is one look-up and no other: a name that leads elsewhere the next time, which is how a name is made to lead
//! inside after it was checked, is connected to what was checked.

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, Error as TlsError, RootCertStore};
use wasmtime_wasi_http::Error;

use super::address::may_reach;
use crate::config::{AllowList, Destination, HostName, Resolver, Scheme};

/// Look-ups that the system does at a time. One cannot be cancelled and keeps a thread for as long as it takes, which
/// may be much longer than anybody waits for it.
const LOOK_UPS_MAX: usize = 16;

/// What a request goes through.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Who finds the addresses of a name.
#[derive(Clone, Debug)]
pub(super) enum Names {
    System(Arc<Semaphore>),
    Given(Resolver),
}

impl Names {
    pub(super) fn new(resolver: Option<Resolver>) -> Self {
        resolver.map_or_else(
            || Self::System(Arc::new(Semaphore::new(LOOK_UPS_MAX))),
            Self::Given,
        )
    }

    async fn look_up(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        let places = match self {
            Self::System(places) => Arc::clone(places),
            Self::Given(resolver) => return resolver.resolve(name).await,
        };
        let place = places.acquire_owned().await.map_err(io::Error::other)?;
        let name = name.to_owned();
        let looked_up = tokio::task::spawn_blocking(move || {
            let addresses = (name.as_str(), 0).to_socket_addrs();
            drop(place);
            Ok(addresses?.map(|address| address.ip()).collect())
        });
        looked_up.await.map_err(io::Error::other)?
    }
}

/// Connects to a destination that the list has, if its address may be reached.
pub(super) async fn connect(
    names: &Names,
    list: &AllowList,
    destination: &Destination,
) -> Result<Box<dyn Stream>, Error> {
    let addresses = match &destination.host {
        HostName::Address(address) => vec![*address],
        HostName::Name(name) => names.look_up(name).await.map_err(no_address)?,
    };
    if addresses.is_empty() {
        return Err(no_address("it has none"));
    }
    let reachable = addresses
        .into_iter()
        .filter(|address| may_reach(list, destination, *address))
        .map(|address| SocketAddr::new(address, destination.port));
    let reachable: Vec<_> = reachable.collect();
    if reachable.is_empty() {
        return Err(Error::DestinationIpProhibited);
    }
    let connected = TcpStream::connect(reachable.as_slice()).await;
    let stream = connected.map_err(|_| Error::ConnectionRefused)?;
    // Requests are written whole: there is nothing to wait for.
    let _ = stream.set_nodelay(true);
    match destination.scheme {
        Scheme::Http => Ok(Box::new(stream)),
        Scheme::Https => secure(&TLS, &destination.host, stream).await,
    }
}

async fn secure(
    tls: &TlsConnector,
    host: &HostName,
    stream: TcpStream,
) -> Result<Box<dyn Stream>, Error> {
    let secured = tls.connect(server_name(host)?, stream).await;
    Ok(Box::new(secured.map_err(|error| of_tls(&error))?))
}

fn no_address(_: impl std::fmt::Display) -> Error {
    Error::DnsError {
        rcode: Some("address not available".to_owned()),
        info_code: None,
    }
}

/// As the guest has named it: whatever its address, it has to prove that it is this.
fn server_name(host: &HostName) -> Result<ServerName<'static>, Error> {
    match host {
        HostName::Address(address) => Ok(ServerName::from(*address)),
        HostName::Name(name) => {
            ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)
        }
    }
}

/// Believes those whom browsers believe. Made when it is first needed: most hosts grant nothing.
static TLS: LazyLock<TlsConnector> = LazyLock::new(|| {
    connector(RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    })
});

fn connector(roots: RootCertStore) -> TlsConnector {
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the provider has ciphers for these versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    TlsConnector::from(Arc::new(config))
}

fn of_tls(error: &io::Error) -> Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    match cause {
        Some(TlsError::InvalidCertificate(_)) => Error::TlsCertificateError,
        Some(TlsError::AlertReceived(alert)) => Error::TlsAlertReceived {
            alert_id: Some(u8::from(*alert)),
            alert_message: Some(format!("{alert:?}")),
        },
        _ => Error::TlsProtocolError,
    }
}

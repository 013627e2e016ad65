//! What it means that a request got no answer.
//!
//! Owns the words for connections that do not come about or that break, and with them which of those
//! failures the engine may retry. Must never quote a URL: it may hold a secret.

use std::error::Error as StdError;

use haul_core::error::{causes, root_cause};
use haul_core::{Error, ErrorKind, Hint, Op, Retry};
use hyper_util::client::legacy;

use crate::connect::{TooSlow, UnknownProxy};
use crate::tls;

/// A request that got no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody's certificates can be trusted.
    #[error("{0}")]
    NothingToTrust(String),
    /// It did not get there, or its answer did not come.
    #[error("{0}")]
    Http(#[from] legacy::Error),
}

impl SendError {
    /// Whether the connection took too long.
    pub fn is_timeout(&self) -> bool {
        causes(self).any(<dyn StdError>::is::<TooSlow>)
    }

    /// Whether the request itself, or its body, was at fault.
    pub fn is_user(&self) -> bool {
        causes(self).any(|c| c.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_user))
    }
}

/// Understands an error of a request that got no answer, or only the beginning of one. There is a hint
/// where nobody else would know of one: what to look at when there was no connection is for the
/// caller to say.
pub fn undelivered(op: Op, location: &str, e: &(dyn StdError + 'static)) -> Error {
    let make = |kind, detail: &str| Error::new(kind, op, location, detail);
    let find = |what: &str| causes(e).any(|c| c.to_string().contains(what));
    for cause in causes(e) {
        if let Some(SendError::NothingToTrust(why)) = cause.downcast_ref() {
            return make(ErrorKind::Connect, why).with_hint(Hint::TrustCertificate);
        }
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return no_tls(op, location, tls);
        }
    }
    let connecting = |c: &(dyn StdError + 'static)| {
        c.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect)
    };
    if !causes(e).any(connecting) {
        let detail = format!("the connection broke: {}", root_cause(e));
        return make(ErrorKind::Protocol, &detail).with_retry(Retry::Backoff);
    }
    if find("proxy authorization required") {
        return make(ErrorKind::AccessDenied, "the proxy wants a user and a password")
            .with_hint(Hint::ProxyCredentials);
    }
    if causes(e).any(<dyn StdError>::is::<UnknownProxy>) {
        return make(ErrorKind::Unsupported, &root_cause(e)).with_hint(Hint::ChooseProxy);
    }
    let no_connection = |detail: &str| make(ErrorKind::Connect, detail).with_retry(Retry::Backoff);
    if find("tunnel error") {
        let detail = format!("the proxy does not connect us: {}", root_cause(e));
        return no_connection(&detail).with_hint(Hint::CheckProxy);
    }
    no_connection(&root_cause(e))
}

/// What TLS says about the server's certificate and its versions is the same next time. Everything else
/// happens to connections: a server that has too much to do sends an alert, too.
fn no_tls(op: Op, location: &str, e: &rustls::Error) -> Error {
    use rustls::CertificateError as C;
    let make = |detail: &str| Error::new(ErrorKind::Connect, op, location, detail);
    match e {
        rustls::Error::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
            make("the server's certificate has expired").with_hint(Hint::CheckClock)
        }
        rustls::Error::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            make("the server's certificate is not valid yet").with_hint(Hint::CheckClock)
        }
        rustls::Error::InvalidCertificate(C::UnknownIssuer) => {
            make("the server's certificate is from nobody that this system trusts")
                .with_hint(Hint::TrustCertificate)
        }
        rustls::Error::InvalidCertificate(
            C::NotValidForName | C::NotValidForNameContext { .. },
        ) => make("the server's certificate is for another host"),
        e @ rustls::Error::InvalidCertificate(_) if tls::is_authority(e) => {
            make("the server's certificate is its own authority, and not one to trust")
                .with_hint(Hint::TrustCertificate)
        }
        // An authority of that name is trusted, and has another key.
        rustls::Error::InvalidCertificate(
            C::BadSignature
            | C::UnsupportedSignatureAlgorithmContext { .. }
            | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => make("the server's certificate is not signed by the authority that it names")
            .with_hint(Hint::TrustCertificate),
        rustls::Error::InvalidMessage(_) => {
            make("the server does not speak TLS").with_hint(Hint::PlainHttp)
        }
        rustls::Error::AlertReceived(alert) if !is_final(*alert) => {
            Error::new(ErrorKind::Protocol, op, location, format!("the connection broke: {e}"))
                .with_retry(Retry::Backoff)
        }
        rustls::Error::InvalidCertificate(_)
        | rustls::Error::AlertReceived(_)
        | rustls::Error::PeerIncompatible(_)
        | rustls::Error::NoCertificatesPresented
        | rustls::Error::UnsupportedNameType
        | rustls::Error::NoApplicationProtocol => make(&format!("no encrypted connection: {e}")),
        e => Error::new(ErrorKind::Protocol, op, location, format!("the connection broke: {e}"))
            .with_retry(Retry::Backoff),
    }
}

/// Whether an alert is about certificates or versions.
fn is_final(alert: rustls::AlertDescription) -> bool {
    use rustls::AlertDescription as A;
    matches!(
        alert,
        A::ProtocolVersion
            | A::InsufficientSecurity
            | A::HandshakeFailure
            | A::NoCertificate
            | A::BadCertificate
            | A::UnsupportedCertificate
            | A::CertificateRevoked
            | A::CertificateExpired
            | A::CertificateUnknown
            | A::UnknownCA
            | A::AccessDenied
            | A::UnrecognisedName
            | A::CertificateRequired
            | A::NoApplicationProtocol
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NetOptions, Pools, Proxies};
    use http_body_util::Empty;
    use std::net::TcpListener;

    async fn failing(uri: &str) -> Error {
        let options = NetOptions { proxies: Proxies::all("", "*"), ..NetOptions::default() };
        let pools = Pools::<Empty<&[u8]>>::new(options);
        let request = http::Request::get(uri).body(Empty::new()).unwrap();
        let e = pools.send(request).await.unwrap_err();
        assert!(!e.is_user() && !e.is_timeout());
        undelivered(Op::Read, "there", &e)
    }

    #[tokio::test]
    async fn no_connection_may_be_one_later() {
        let addr = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let e = failing(&format!("http://{addr}/?secret")).await;
        assert_eq!((e.kind(), e.retry()), (ErrorKind::Connect, Retry::Backoff));
        assert_eq!((e.detail(), e.hint()), ("Connection refused", None));
        let e = failing("http://nowhere.invalid/").await;
        assert_eq!((e.kind(), e.retry(), e.hint()), (ErrorKind::Connect, Retry::Backoff, None));
    }

    #[tokio::test]
    async fn a_server_that_hangs_up_broke_the_connection() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || drop(listener.accept().unwrap()));
        let e = failing(&format!("http://{addr}/")).await;
        assert_eq!((e.kind(), e.retry()), (ErrorKind::Protocol, Retry::Backoff), "{e}");
        server.join().unwrap();
    }

    /// A.19: an alert of a busy server, or a record that was damaged on the way, ends a connection and not
    /// an upload.
    #[test]
    fn only_certificates_and_versions_are_final() {
        use rustls::{AlertDescription as A, Error as E, PeerIncompatible};
        let failed = |tls| {
            let io = std::io::Error::new(std::io::ErrorKind::InvalidData, tls);
            undelivered(Op::Write, "there", &io)
        };
        for passing in [
            E::AlertReceived(A::InternalError),
            E::AlertReceived(A::DecryptError),
            E::AlertReceived(A::BadRecordMac),
            E::DecryptError,
            E::HandshakeNotComplete,
            E::General("out of descriptors".into()),
        ] {
            let e = failed(passing);
            assert_eq!((e.kind(), e.retry()), (ErrorKind::Protocol, Retry::Backoff), "{e}");
        }
        for last in [
            E::AlertReceived(A::ProtocolVersion),
            E::AlertReceived(A::CertificateRequired),
            E::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
        ] {
            let e = failed(last);
            assert_eq!((e.kind(), e.retry()), (ErrorKind::Connect, Retry::Never), "{e}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_said() {
        use rustls::{CertificateError, Error::InvalidCertificate};
        let failed = |tls| {
            let io = std::io::Error::new(std::io::ErrorKind::InvalidData, tls);
            undelivered(Op::Read, "there", &io)
        };
        let e = failed(InvalidCertificate(CertificateError::UnknownIssuer));
        assert_eq!((e.kind(), e.retry()), (ErrorKind::Connect, Retry::Never));
        assert_eq!(e.hint(), Some(&Hint::TrustCertificate));
        let e = failed(rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType));
        assert_eq!(e.detail(), "the server does not speak TLS");
    }
}

//! Where the server listens.

use std::fmt;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use tokio::net::{TcpListener, UnixListener, UnixStream};

/// An address to listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP; port 0 takes one that is free.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no address to listen on; write IP:PORT, e.g. 127.0.0.1:7400, or unix:PATH")]
pub struct InvalidAddress(String);

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        match text.strip_prefix("unix:") {
            Some("") => Err(InvalidAddress(text.to_owned())),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| InvalidAddress(text.to_owned())),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The system refused.
    #[error("cannot listen on {address}")]
    Refused {
        /// Where.
        address: Address,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Somebody answers on the socket.
    #[error("somebody listens on {0} already; end that server first, or choose another path")]
    Taken(Address),
    /// The path is something else than a socket.
    #[error("{0} is there and is no socket; choose another path")]
    NoSocket(Address),
}

/// Sockets that are bound and not yet served.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) tcp: Vec<TcpListener>,
    pub(crate) unix: Vec<(UnixListener, PathBuf)>,
    addresses: Vec<Address>,
}

impl Listeners {
    /// Binds every address, the Unix sockets by [`bind_unix`].
    ///
    /// # Errors
    /// [`BindError`] names the first address that cannot be listened on.
    pub async fn bind(addresses: &[Address], shared: bool) -> Result<Self, BindError> {
        let mut bound = Self { tcp: Vec::new(), unix: Vec::new(), addresses: Vec::new() };
        for address in addresses {
            let refused = |source| BindError::Refused { address: address.clone(), source };
            match address {
                Address::Tcp(socket) => {
                    let listener = TcpListener::bind(socket).await.map_err(refused)?;
                    bound.addresses.push(Address::Tcp(listener.local_addr().map_err(refused)?));
                    bound.tcp.push(listener);
                }
                Address::Unix(path) => {
                    let listener = bind_unix(path, shared).await?;
                    bound.addresses.push(address.clone());
                    bound.unix.push((listener, path.clone()));
                }
            }
        }
        Ok(bound)
    }

    /// The addresses really listened on, with the ports that were picked.
    #[must_use]
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }
}

/// Binds a Unix socket. Its file is its owner's alone, unless it is `shared` with other users, who are then told apart by
/// their uid; a file that a dead server left behind is replaced, one on which somebody answers is not.
///
/// # Errors
/// [`BindError`] says why it cannot be listened on.
pub async fn bind_unix(path: &Path, shared: bool) -> Result<UnixListener, BindError> {
    let address = Address::Unix(path.to_owned());
    clear_stale(&address, path).await?;
    let refused = |source| BindError::Refused { address: address.clone(), source };
    let listener = UnixListener::bind(path).map_err(refused)?;
    let mode = if shared { 0o666 } else { 0o600 };
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).map_err(refused)?;
    Ok(listener)
}

/// Removes a socket on which nobody answers.
async fn clear_stale(address: &Address, path: &Path) -> Result<(), BindError> {
    let Ok(found) = std::fs::symlink_metadata(path) else { return Ok(()) };
    if !found.file_type().is_socket() {
        return Err(BindError::NoSocket(address.clone()));
    }
    match UnixStream::connect(path).await {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => std::fs::remove_file(path)
            .map_err(|source| BindError::Refused { address: address.clone(), source }),
        Ok(_) | Err(_) => Err(BindError::Taken(address.clone())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_round_trip() {
        for text in ["127.0.0.1:7400", "[::1]:0", "unix:data/reclaimer.sock"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        for text in ["", "unix:", "localhost", "7400", "127.0.0.1"] {
            assert!(text.parse::<Address>().unwrap_err().to_string().contains("IP:PORT"));
        }
    }

    #[tokio::test]
    async fn a_dead_servers_socket_is_replaced_and_a_living_ones_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let address = Address::Unix(folder.path().join("s"));
        let first = Listeners::bind(std::slice::from_ref(&address), false).await.unwrap();
        let mode = std::fs::metadata(folder.path().join("s")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let second = Listeners::bind(std::slice::from_ref(&address), false).await;
        assert!(matches!(second, Err(BindError::Taken(_))), "{second:?}");
        drop(first);
        assert!(Listeners::bind(std::slice::from_ref(&address), false).await.is_ok());
    }

    #[tokio::test]
    async fn a_file_that_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "x").unwrap();
        let bound = Listeners::bind(&[Address::Unix(path.clone())], false).await;
        assert!(matches!(bound, Err(BindError::NoSocket(_))));
        assert_eq!(std::fs::read_to_string(path).unwrap(), "x");
    }

    #[tokio::test]
    async fn port_0_picks_one() {
        let bound = Listeners::bind(&["127.0.0.1:0".parse().unwrap()], false).await.unwrap();
        assert!(matches!(bound.addresses(), [Address::Tcp(address)] if address.port() != 0));
    }
}

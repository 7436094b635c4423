#![doc = include_str!("../README.md")]

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use oauth2::basic::{BasicClient, BasicErrorResponse};
use oauth2::{
    AuthType, ClientId, ClientSecret, HttpClientError, RefreshToken, RequestTokenError, TokenResponse,
    TokenUrl,
};
use reclaimer_domain::name::ProviderId;
use reclaimer_domain::ports::{FreshCredentials, IssueError, TokenIssuer};
use reclaimer_domain::secret::Secret;
use reclaimer_domain::time::after;
use url::Url;

/// Where credentials are refreshed.
#[derive(Debug, Clone)]
pub struct Provider {
    /// What accounts call it.
    pub id: ProviderId,
    /// Its token endpoint.
    pub token_url: Url,
    /// Who we are there.
    pub client_id: String,
    /// What proves it, for a confidential client.
    pub client_secret: Option<Secret>,
}

/// How long a provider may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To accept a connection.
    pub connect: Duration,
    /// To answer, all in all.
    pub total: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), total: Duration::from_secs(15) }
    }
}

/// Why an issuer cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidProvider {
    /// Two providers have the same name.
    #[error("provider `{0}` is configured twice")]
    Twice(ProviderId),
    /// The TLS library of this machine cannot be used.
    #[error("the HTTP client cannot be set up")]
    Client(#[source] reqwest::Error),
}

/// Refreshes credentials over HTTP.
#[derive(Debug)]
pub struct OAuthIssuer {
    providers: BTreeMap<ProviderId, Provider>,
    http: reqwest::Client,
}

impl OAuthIssuer {
    /// An issuer for these providers.
    ///
    /// # Errors
    /// When a provider is named twice, or no HTTP client can be made.
    pub fn new(providers: Vec<Provider>, timeouts: Timeouts) -> Result<Self, InvalidProvider> {
        // Following a redirect would send the refresh token to wherever it leads.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(timeouts.connect)
            .timeout(timeouts.total)
            .build()
            .map_err(InvalidProvider::Client)?;
        let mut known = BTreeMap::new();
        for provider in providers {
            let id = provider.id.clone();
            if known.insert(id.clone(), provider).is_some() {
                return Err(InvalidProvider::Twice(id));
            }
        }
        Ok(Self { providers: known, http })
    }
}

#[async_trait]
impl TokenIssuer for OAuthIssuer {
    async fn refresh(
        &self,
        provider: &ProviderId,
        refresh_token: &Secret,
        now: DateTime<Utc>,
    ) -> Result<FreshCredentials, IssueError> {
        let known =
            self.providers.get(provider).ok_or_else(|| IssueError::UnknownProvider(provider.clone()))?;
        let mut client = BasicClient::new(ClientId::new(known.client_id.clone()))
            .set_token_uri(TokenUrl::from_url(known.token_url.clone()))
            .set_auth_type(AuthType::RequestBody);
        if let Some(secret) = &known.client_secret {
            client = client.set_client_secret(ClientSecret::new(secret.expose().to_owned()));
        }
        let answer = client
            .exchange_refresh_token(&RefreshToken::new(refresh_token.expose().to_owned()))
            .request_async(&self.http)
            .await
            .map_err(|error| issue_error(provider, error))?;
        Ok(FreshCredentials {
            access_token: Secret::new(answer.access_token().secret()),
            access_token_expires_at: answer.expires_in().map(|length| after(now, length)),
            refresh_token: answer.refresh_token().map(|token| Secret::new(token.secret())),
        })
    }
}

/// What went wrong between us and the provider, in words that carry nothing it sent: a provider may echo the token.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("it did not answer in time")]
    TimedOut,
    #[error("it cannot be reached")]
    Unreachable,
    #[error("the answer is no token response")]
    Unreadable,
}

fn issue_error(
    provider: &ProviderId,
    error: RequestTokenError<HttpClientError<reqwest::Error>, BasicErrorResponse>,
) -> IssueError {
    let trouble = match error {
        RequestTokenError::ServerResponse(response) => {
            let code: String =
                response.error().as_ref().chars().filter(char::is_ascii_graphic).take(64).collect();
            return IssueError::Refused { provider: provider.clone(), code };
        }
        RequestTokenError::Request(HttpClientError::Reqwest(error)) if error.is_timeout() => {
            Trouble::TimedOut
        }
        RequestTokenError::Request(_) => Trouble::Unreachable,
        RequestTokenError::Parse(..) | RequestTokenError::Other(_) => Trouble::Unreadable,
    };
    IssueError::Unavailable { provider: provider.clone(), source: Box::new(trouble) }
}

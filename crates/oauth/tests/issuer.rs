//! The issuer against a real HTTP server on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use axum::http::{StatusCode, header};
use axum::routing::post;
use reclaimer_domain::ports::{IssueError, TokenIssuer};
use reclaimer_domain::secret::Secret;
use reclaimer_oauth::{InvalidProvider, OAuthIssuer, Provider, Timeouts};
use reclaimer_testkit::noon;

/// Serves one answer, echoing the request's body where the answer says `ECHO`.
async fn provider(status: u16, answer: &'static str) -> Provider {
    let handler = move |body: String| async move {
        let json = [(header::CONTENT_TYPE, "application/json")];
        (StatusCode::from_u16(status).unwrap(), json, answer.replace("ECHO", &body))
    };
    serve(axum::Router::new().route("/token", post(handler))).await
}

async fn serve(router: axum::Router) -> Provider {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    Provider {
        id: "gitlab".parse().unwrap(),
        token_url: format!("http://{address}/token").parse().unwrap(),
        client_id: "us".to_owned(),
        client_secret: Some(Secret::new("client-sesame")),
    }
}

async fn refresh(provider: Provider) -> Result<reclaimer_domain::ports::FreshCredentials, IssueError> {
    let id = provider.id.clone();
    let issuer = OAuthIssuer::new(vec![provider], Timeouts::default()).unwrap();
    issuer.refresh(&id, &Secret::new("refresh-sesame"), noon()).await
}

#[tokio::test]
async fn fresh_credentials_come_with_their_end_and_a_rotated_refresh_token() {
    let answer =
        r#"{"access_token": "new", "token_type": "bearer", "expires_in": 7200, "refresh_token": "next"}"#;
    let fresh = refresh(provider(200, answer).await).await.unwrap();
    assert_eq!(fresh.access_token.expose(), "new");
    assert_eq!(fresh.refresh_token.unwrap().expose(), "next");
    assert_eq!(fresh.access_token_expires_at.unwrap(), noon() + chrono::Duration::hours(2));
}

#[tokio::test]
async fn the_request_is_a_refresh_grant_with_our_credentials() {
    let handler = |body: String| async move {
        for part in
            ["grant_type=refresh_token", "refresh_token=refresh-sesame", "client_id=us", "client_secret="]
        {
            assert!(body.contains(part), "{part} is not in {body}");
        }
        ([(header::CONTENT_TYPE, "application/json")], r#"{"access_token": "new", "token_type": "bearer"}"#)
    };
    let fresh = refresh(serve(axum::Router::new().route("/token", post(handler))).await).await.unwrap();
    assert_eq!((fresh.refresh_token, fresh.access_token_expires_at), (None, None));
}

#[tokio::test]
async fn a_refusal_carries_its_code_and_nothing_else() {
    let answer = r#"{"error": "invalid_grant", "error_description": "ECHO"}"#;
    let error = refresh(provider(400, answer).await).await.unwrap_err();
    assert!(matches!(&error, IssueError::Refused { code, .. } if code == "invalid_grant"));
    assert!(!format!("{error} {error:?}").contains("sesame"));
}

#[tokio::test]
async fn rubbish_and_outages_are_said_without_what_was_sent() {
    for (status, answer) in [(200, "ECHO"), (500, "ECHO"), (302, "ECHO"), (200, "{}")] {
        let error = refresh(provider(status, answer).await).await.unwrap_err();
        assert!(matches!(error, IssueError::Unavailable { .. }), "{status} {answer}: {error:?}");
        assert!(!format!("{error} {error:?}").contains("sesame"), "{error:?}");
    }
    let mut gone = provider(200, "").await;
    gone.token_url = "http://127.0.0.1:1/token".parse().unwrap();
    let error = refresh(gone).await.unwrap_err();
    assert!(matches!(error, IssueError::Unavailable { .. }));
}

#[tokio::test]
async fn a_provider_that_never_answers_is_given_up() {
    let silent = serve(axum::Router::new().route("/token", post(std::future::pending::<()>))).await;
    let id = silent.id.clone();
    let timeouts = Timeouts { total: Duration::from_millis(50), ..Timeouts::default() };
    let issuer = OAuthIssuer::new(vec![silent], timeouts).unwrap();
    let error = issuer.refresh(&id, &Secret::new("refresh-sesame"), noon()).await.unwrap_err();
    let IssueError::Unavailable { source, .. } = error else { panic!("{error:?}") };
    assert_eq!(source.to_string(), "it did not answer in time");
}

#[tokio::test]
async fn providers_have_names_of_their_own() {
    let one = provider(200, "").await;
    let twice = OAuthIssuer::new(vec![one.clone(), one.clone()], Timeouts::default());
    assert!(matches!(twice, Err(InvalidProvider::Twice(_))));
    let issuer = OAuthIssuer::new(vec![one], Timeouts::default()).unwrap();
    let error = issuer.refresh(&"other".parse().unwrap(), &Secret::new("x"), noon()).await.unwrap_err();
    assert!(matches!(error, IssueError::UnknownProvider(_)));
}

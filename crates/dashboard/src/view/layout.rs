//! The frame around every page.

use maud::{DOCTYPE, Markup, html};

use crate::assets;
use crate::guard::Viewer;
use crate::state::App;
use crate::view::untrusted::{plain, shown};

/// The screens that are always one step away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    Overview,
    Jobs,
    Recovery,
    Workers,
    Policy,
    Alerts,
}

impl Screen {
    const ALL: [Self; 6] =
        [Self::Overview, Self::Jobs, Self::Recovery, Self::Workers, Self::Policy, Self::Alerts];

    fn name(self) -> &'static str {
        match self {
            Self::Overview => "Overview",
            Self::Jobs => "Jobs",
            Self::Recovery => "Recovery",
            Self::Workers => "Workers",
            Self::Policy => "Policy",
            Self::Alerts => "Alerts",
        }
    }

    fn href(self) -> &'static str {
        match self {
            Self::Overview => "/",
            Self::Jobs => "/jobs",
            Self::Recovery => "/recovery",
            Self::Workers => "/workers",
            Self::Policy => "/policy",
            Self::Alerts => "/alerts",
        }
    }
}

/// A page for somebody who is logged in. What was left to be said stands at its top, once.
pub(crate) fn page(app: &App, viewer: &Viewer, screen: Screen, title: &str, body: &Markup) -> Markup {
    let notice = app.sessions.take_notice(&viewer.0);
    document(
        title,
        &html! {
            header.top {
                a.brand href="/" { (mark()) span { "Reclaimer" } }
                nav aria-label="Screens" {
                    ul { @for it in Screen::ALL {
                        li { a href=(it.href()) aria-current=[(it == screen).then_some("page")] { (it.name()) } }
                    } }
                }
                div.aside {
                    span #live .live hidden { "Live" }
                    a href="/docs/" { "Docs" }
                    form method="post" action="/logout" {
                        (csrf(viewer))
                        button.quiet type="submit" { "Log out" }
                    }
                }
            }
            main #main tabindex="-1" {
                @if let Some(notice) = notice {
                    p.notice role="status" id="notice" { (shown(&notice, 1_000)) }
                }
                (body)
            }
        },
        true,
    )
}

/// A page for anybody.
pub(crate) fn bare(title: &str, body: &Markup) -> Markup {
    document(
        title,
        &html! {
            header.top { a.brand href="/" { (mark()) span { "Reclaimer" } } }
            main #main tabindex="-1" { (body) }
        },
        false,
    )
}

/// A page that asks for itself at once.
pub(crate) fn again(wanted: &str) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="refresh" content={ "0; url=" (wanted) };
                title { "Reclaimer" }
            }
            body { p { a href=(wanted) { "Go on" } } }
        }
    }
}

/// The field by which a form shows that it comes from a page of its session.
pub(crate) fn csrf(viewer: &Viewer) -> Markup {
    html! { input type="hidden" name="csrf" value=(viewer.0.csrf()); }
}

fn mark() -> Markup {
    html! { img src=(assets::ICON.href()) alt="" width="22" height="22"; }
}

fn document(title: &str, body: &Markup, live: bool) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (plain(title, 120)) " · Reclaimer" }
                link rel="icon" href=(assets::ICON.href());
                link rel="stylesheet" href=(assets::STYLE.href());
                @if live { script src=(assets::SCRIPT.href()) defer {} }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                (body)
            }
        }
    }
}

//! The terminal, taken and given back: also after a panic.

use std::io::{IsTerminal, Stdout, stdin, stdout};
use std::sync::Once;

use anyhow::Result;
use crossterm::cursor::Show;
use crossterm::event::{
    DisableBracketedPaste, EnableBracketedPaste, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers,
};
use crossterm::execute;
use crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};

use super::model::Key;

/// Whether there is a terminal to read keys from and to draw on.
pub(super) fn is_there() -> bool {
    let able = std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    able && stdin().is_terminal() && stdout().is_terminal()
}

/// The terminal while it is ours.
#[derive(Debug)]
pub(super) struct Screen(Terminal<CrosstermBackend<Stdout>>);

impl Screen {
    /// Takes it.
    pub(super) fn take() -> Result<Self> {
        // A panic's message must be readable, on the screen that the shell had.
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                give_back();
                before(panic);
            }));
        });
        enable_raw_mode()?;
        // From here on it is given back whatever happens. What is pasted by mistake must not be taken for keys.
        let screen = Self(Terminal::new(CrosstermBackend::new(stdout()))?);
        execute!(stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
        Ok(screen)
    }

    /// Draws on it.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> Result<()> {
        self.0.draw(draw)?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    // There is nobody left to tell when the terminal has gone.
    let _ = execute!(stdout(), DisableBracketedPaste, LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}

/// What a terminal's event is to the view. Ctrl-C is `q`.
pub(super) fn key(event: &Event) -> Option<Key> {
    let Event::Key(KeyEvent { code, modifiers, kind: KeyEventKind::Press | KeyEventKind::Repeat, .. }) =
        event
    else {
        return None;
    };
    if modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) {
        let interrupt = *code == KeyCode::Char('c') && modifiers.contains(KeyModifiers::CONTROL);
        return interrupt.then_some(Key::Quit);
    }
    match code {
        KeyCode::Up => Some(Key::Up),
        KeyCode::Down => Some(Key::Down),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown => Some(Key::PageDown),
        KeyCode::Home => Some(Key::Home),
        KeyCode::End => Some(Key::End),
        KeyCode::Left => Some(Key::Left),
        KeyCode::Right => Some(Key::Right),
        KeyCode::Tab => Some(Key::NextPane),
        KeyCode::BackTab => Some(Key::PreviousPane),
        KeyCode::Enter => Some(Key::Enter),
        KeyCode::Esc => Some(Key::Escape),
        KeyCode::Char(character) => Some(Key::Character(*character)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

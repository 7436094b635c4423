use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};

use super::*;

fn typed(code: KeyCode, modifiers: KeyModifiers) -> Event {
    Event::Key(KeyEvent::new(code, modifiers))
}

#[test]
fn keys_are_told_apart() {
    assert_eq!(key(&typed(KeyCode::Char('R'), KeyModifiers::SHIFT)), Some(Key::Character('R')));
    assert_eq!(key(&typed(KeyCode::Char('c'), KeyModifiers::CONTROL)), Some(Key::Quit));
    assert_eq!(key(&typed(KeyCode::Char('r'), KeyModifiers::CONTROL)), None);
    assert_eq!(key(&typed(KeyCode::BackTab, KeyModifiers::SHIFT)), Some(Key::PreviousPane));
    assert_eq!(key(&Event::Paste("rcy".to_owned())), None, "what is pasted by mistake orders nothing");
}

/// Panics on the terminal that the test below gives it.
#[test]
#[ignore = "run by the test below, on a terminal of its own"]
fn victim() {
    let mut screen = Screen::take().unwrap();
    screen.draw(|frame| frame.render_widget("drawn", frame.area())).unwrap();
    panic!("in the middle of it");
}

#[test]
fn a_panic_gives_the_terminal_back() {
    let size = Winsize { ws_row: 10, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    let pty = openpty(Some(&size), None).unwrap();
    let slave = || Stdio::from(pty.slave.as_fd().try_clone_to_owned().unwrap());
    let before = tcgetattr(&pty.slave).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "top::screen::tests::victim", "--ignored", "--nocapture"])
        .env("TERM", "xterm")
        .stdin(slave())
        .stdout(slave())
        .stderr(slave())
        .spawn()
        .unwrap();
    let reader = std::thread::spawn({
        let master = pty.master.as_fd().try_clone_to_owned().unwrap();
        move || {
            let mut said = Vec::new();
            let mut file = std::fs::File::from(master);
            let mut part = [0; 4_096];
            // A master whose slaves are all closed fails.
            while let Ok(read @ 1..) = std::io::Read::read(&mut file, &mut part) {
                said.extend_from_slice(&part[..read]);
            }
            String::from_utf8_lossy(&said).into_owned()
        }
    });
    child.wait().unwrap();
    let after = tcgetattr(&pty.slave).unwrap();
    drop(pty.slave);
    let said = reader.join().unwrap();
    assert!(after.local_flags.contains(LocalFlags::ECHO | LocalFlags::ICANON), "{said}");
    assert_eq!(after.local_flags, before.local_flags);
    let (entered, left) = (said.find("\u{1b}[?1049h").unwrap(), said.find("\u{1b}[?1049l").unwrap());
    let (drawn, told) = (said.find("drawn").unwrap(), said.find("in the middle of it").unwrap());
    assert!(
        entered < drawn && drawn < left && left < told,
        "the message is on the shell's own screen: {said}"
    );
}

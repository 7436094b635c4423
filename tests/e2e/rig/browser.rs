//! Chromium, driven by the `WebDriver` protocol.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::{PATIENCE, until};

/// What the protocol calls an element in an answer.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// Keys, as the protocol writes them.
pub(crate) const TAB: char = '\u{E004}';
pub(crate) const ENTER: char = '\u{E007}';
pub(crate) const SPACE: char = ' ';

/// Each is several processes: more at once would only be slower.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

/// A browser with one window.
#[derive(Debug)]
pub(crate) struct Browser {
    driver: Child,
    address: SocketAddr,
    session: String,
    client: Client,
    _profile: TempDir,
    _place: SemaphorePermit<'static>,
}

/// A window's size.
pub(crate) const DESK: (u32, u32) = (1280, 860);
/// A small phone's.
pub(crate) const PHONE: (u32, u32) = (360, 740);

impl Browser {
    /// Starts a browser; `scripts` says whether pages may run any.
    pub(crate) async fn start(scripts: bool) -> Result<Self> {
        let place = AT_ONCE.acquire().await?;
        let profile = tempfile::tempdir()?;
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("TMPDIR", profile.path())
            .env("HOME", profile.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("chromedriver is missing; tests/run installs it")?;
        let mut lines = BufReader::new(driver.stdout.take().context("no output")?).lines();
        let port = timeout(PATIENCE, async {
            while let Some(line) = lines.next_line().await? {
                if let Some((_, port)) = line.split_once("started successfully on port ") {
                    return Ok(port.trim_end_matches('.').parse::<u16>()?);
                }
            }
            bail!("chromedriver did not start")
        });
        let port = port.await??;
        // Whatever else it says is not wanted, and must not fill the pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let mut browser = Self {
            driver,
            address: ([127, 0, 0, 1], port).into(),
            session: String::new(),
            client: Client::builder().timeout(PATIENCE).build()?,
            _profile: profile,
            _place: place,
        };
        let arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"];
        let mut options = json!({ "args": arguments });
        if !scripts {
            options["prefs"] = json!({ "profile.managed_default_content_settings.javascript": 2 });
        }
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": options } } });
        let answer = browser.ask(Method::POST, "/session", Some(wanted)).await?;
        browser.session = answer["sessionId"].as_str().context("no session")?.to_owned();
        // Its first page loads by itself, and what is set before it is there is lost.
        browser.open("about:blank").await?;
        browser.size(DESK).await?;
        Ok(browser)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let request = self.client.request(method, format!("http://{}{path}", self.address));
        let request = body.iter().fold(request, |request, body| request.json(body));
        let mut body: Value = request.send().await?.json().await?;
        if let Some(error) = body["value"]["error"].as_str() {
            bail!("{path}: {error}: {}", body["value"]["message"].as_str().unwrap_or_default());
        }
        Ok(body["value"].take())
    }

    async fn call(&self, path: &str, body: Value) -> Result<Value> {
        self.ask(Method::POST, &format!("/session/{}{path}", self.session), Some(body)).await
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.ask(Method::GET, &format!("/session/{}{path}", self.session), None).await
    }

    /// A command of the browser's own protocol.
    async fn command(&self, name: &str, parameters: Value) -> Result<Value> {
        loop {
            match self.call("/goog/cdp/execute", json!({ "cmd": name, "params": parameters })).await {
                // The page that was to take it has just been left for another.
                Err(error) if error.to_string().contains("aborted by navigation") => {}
                answered => return answered,
            }
        }
    }

    /// Gives the window the size of a screen.
    pub(crate) async fn size(&self, (width, height): (u32, u32)) -> Result<()> {
        let metrics =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500 });
        self.command("Emulation.setDeviceMetricsOverride", metrics).await.map(drop)
    }

    /// Prefers light or dark.
    pub(crate) async fn prefer(&self, scheme: &str) -> Result<()> {
        let features = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.command("Emulation.setEmulatedMedia", features).await.map(drop)
    }

    /// Opens a page, and waits until it is loaded.
    pub(crate) async fn open(&self, address: &str) -> Result<()> {
        self.call("/url", json!({ "url": address })).await.map(drop)
    }

    /// Where it is, without the host.
    pub(crate) async fn path(&self) -> Result<String> {
        let address = self.get("/url").await?;
        let address = reqwest::Url::parse(address.as_str().unwrap_or_default())?;
        Ok(address
            .query()
            .map_or_else(|| address.path().to_owned(), |query| format!("{}?{query}", address.path())))
    }

    /// The one element, once it is there.
    async fn find(&self, using: &str, value: &str) -> Result<String> {
        let what = format!("an element {value}");
        let found = until(&what, async || {
            let found = self.call("/elements", json!({ "using": using, "value": value })).await?;
            Ok(found[0][ELEMENT].as_str().map(ToOwned::to_owned))
        });
        match found.await {
            Ok(element) => Ok(element),
            Err(error) => bail!("{error:#} at {}: {}", self.path().await?, self.text("body").await?),
        }
    }

    /// The text of the first element of this selector, as people see it.
    pub(crate) async fn text(&self, selector: &str) -> Result<String> {
        let found = self.call("/elements", json!({ "using": "css selector", "value": selector })).await?;
        let element = found[0][ELEMENT].as_str().with_context(|| format!("there is no {selector}"))?;
        Ok(self.get(&format!("/element/{element}/text")).await?.as_str().unwrap_or_default().to_owned())
    }

    /// Waits until the first element of this selector has this in its text.
    pub(crate) async fn sees(&self, selector: &str, text: &str) -> Result<()> {
        let what = format!("`{text}` in {selector}");
        let seen = until(&what, async || {
            // A part that is just being replaced is looked at again.
            let found = self.text(selector).await.unwrap_or_default();
            Ok(found.contains(text).then_some(()))
        });
        match seen.await {
            Ok(()) => Ok(()),
            Err(error) => bail!("{error:#} at {}: {}", self.path().await?, self.text("body").await?),
        }
    }

    /// Clicks what has this selector.
    pub(crate) async fn click(&self, selector: &str) -> Result<()> {
        self.click_on("css selector", selector).await
    }

    /// Clicks the link, button or summary that says this.
    pub(crate) async fn press(&self, label: &str) -> Result<()> {
        let path = format!("//*[self::a or self::button or self::summary][normalize-space(.)='{label}']");
        self.click_on("xpath", &path).await
    }

    async fn click_on(&self, using: &str, value: &str) -> Result<()> {
        loop {
            let element = self.find(using, value).await?;
            match self.call(&format!("/element/{element}/click"), json!({})).await {
                // It was replaced by another of its kind just now.
                Err(error) if error.to_string().contains("stale element") => {}
                clicked => return clicked.map(drop),
            }
        }
    }

    /// Types into the field of this selector.
    pub(crate) async fn fill(&self, selector: &str, text: &str) -> Result<()> {
        let element = self.find("css selector", selector).await?;
        self.call(&format!("/element/{element}/value"), json!({ "text": text })).await.map(drop)
    }

    /// Strikes keys, wherever the focus is.
    pub(crate) async fn strike(&self, keys: &str) -> Result<()> {
        let strokes = keys
            .chars()
            .flat_map(|key| ["keyDown", "keyUp"].map(|kind| json!({ "type": kind, "value": key })));
        let keyboard = json!({ "type": "key", "id": "keyboard", "actions": strokes.collect::<Vec<_>>() });
        self.call("/actions", json!({ "actions": [keyboard] })).await.map(drop)
    }

    /// What has the focus, as it is called for those who cannot see it.
    pub(crate) async fn focused(&self) -> Result<String> {
        let element = self.get("/element/active").await?;
        let element = element[ELEMENT].as_str().context("nothing has the focus")?;
        let name = self.get(&format!("/element/{element}/computedlabel")).await?;
        Ok(name.as_str().unwrap_or_default().to_owned())
    }

    /// Moves the focus on by the tabulator until it is on what is called this.
    pub(crate) async fn tab_to(&self, label: &str) -> Result<()> {
        let mut passed = Vec::new();
        for _ in 0..80 {
            self.strike(&TAB.to_string()).await?;
            let focused = self.focused().await?;
            if focused == label {
                return Ok(());
            }
            passed.push(focused);
        }
        bail!("the tabulator does not lead to `{label}` at {}, but to {passed:?}", self.path().await?)
    }

    /// Runs a script in the page and answers what it returns.
    pub(crate) async fn run(&self, script: &str) -> Result<Value> {
        self.call("/execute/sync", json!({ "script": script, "args": [] })).await
    }

    /// Runs a script that calls `arguments[0]` with its answer.
    pub(crate) async fn run_until_answered(&self, script: &str) -> Result<Value> {
        self.call("/execute/async", json!({ "script": script, "args": [] })).await
    }

    /// The whole page as a picture, in PNG.
    pub(crate) async fn picture(&self) -> Result<String> {
        let picture = self.command("Page.captureScreenshot", json!({ "format": "png" })).await?;
        Ok(picture["data"].as_str().context("no picture")?.to_owned())
    }
}

impl Drop for Browser {
    /// Ends the browser, and then its driver: without waiting for more than a moment, whatever the test came to.
    fn drop(&mut self) {
        if let Ok(mut stream) = TcpStream::connect_timeout(&self.address, Duration::from_secs(1)) {
            let request = format!(
                "DELETE /session/{} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
                self.session, self.address
            );
            drop(stream.set_read_timeout(Some(Duration::from_secs(5))));
            drop(stream.write_all(request.as_bytes()));
            drop(stream.read(&mut [0; 64]));
        }
        let group = self.driver.id().and_then(|id| i32::try_from(id).ok());
        if let Some(group) = group {
            // It may have ended by itself.
            let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
        }
    }
}

//! A real Chromium, driven by WebDriver (https://www.w3.org/TR/webdriver2/).

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{Connection, DEADLINE, Request, eventually};

/// The key of an element in answers.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A browser with a profile of its own; it ends when dropped.
pub(crate) struct Browser {
    driver: Child,
    address: std::net::SocketAddr,
    session: String,
    profile: std::path::PathBuf,
}

impl Browser {
    /// Starts one with these preferences of its profile and further arguments.
    pub(crate) fn start(preferences: &Value, arguments: &[&str]) -> Self {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("cannot run chromedriver ({error}): install the Debian package chromium-driver")
            });
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = lines.find_map(|line| {
            let line = line.ok()?;
            line.strip_prefix("ChromeDriver was started successfully on port ")?.trim_end_matches('.').parse().ok()
        });
        let port: u16 = port.expect("chromedriver says its port");
        // Nobody else reads what it says, and it must not wait for a reader.
        std::thread::spawn(move || lines.count());
        let address = ([127, 0, 0, 1], port).into();
        let profile = std::env::temp_dir().join(format!("wicketgate-browser-{}-{port}", std::process::id()));
        let own = format!("--user-data-dir={}", profile.display());
        let mut all = vec!["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", &own];
        all.extend(arguments);
        let wishes = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "acceptInsecureCerts": true,
            "goog:loggingPrefs": {"browser": "ALL"},
            "goog:chromeOptions": {"args": all, "prefs": preferences},
        }}});
        let mut browser = Self { driver, address, session: String::new(), profile };
        let begun = browser.command("POST", "/session", &wishes);
        browser.session = begun["sessionId"].as_str().unwrap_or_else(|| panic!("no session: {begun}")).to_owned();
        browser
    }

    fn command(&self, method: &str, path: &str, body: &Value) -> Value {
        let request = Request::new(self.address, method, path);
        let request = if method == "POST" { request.json(&body.to_string()) } else { request };
        let mut connection = Connection::plain(self.address);
        // A browser starts slowly on a busy machine.
        connection.patience(6 * DEADLINE);
        request.send_on(&mut connection).json()["value"].clone()
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        self.command("POST", &format!("/session/{}{path}", self.session), body)
    }

    fn get(&self, path: &str) -> Value {
        self.command("GET", &format!("/session/{}{path}", self.session), &Value::Null)
    }

    pub(crate) fn open(&self, url: &str) {
        let outcome = self.post("/url", &json!({"url": url}));
        assert!(outcome.is_null(), "{url}: {outcome}");
    }

    pub(crate) fn url(&self) -> String {
        self.get("/url").as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the address begins so.
    #[track_caller]
    pub(crate) fn arrives(&self, begin: &str) -> String {
        eventually(&format!("{begin} in the address"), || self.url().starts_with(begin));
        self.url()
    }

    fn find(&self, selector: &str) -> Option<String> {
        let found = self.post("/element", &json!({"using": "css selector", "value": selector}));
        Some(found[ELEMENT].as_str()?.to_owned())
    }

    #[track_caller]
    fn element(&self, selector: &str) -> String {
        self.find(selector).unwrap_or_else(|| panic!("no {selector} at {}: {}", self.url(), self.get("/source")))
    }

    pub(crate) fn has(&self, selector: &str) -> bool {
        self.find(selector).is_some()
    }

    pub(crate) fn text(&self, selector: &str) -> String {
        let element = self.element(selector);
        self.get(&format!("/element/{element}/text")).as_str().unwrap_or_default().to_owned()
    }

    /// A property of an element, such as its value.
    pub(crate) fn property(&self, selector: &str, name: &str) -> Value {
        let element = self.element(selector);
        self.get(&format!("/element/{element}/property/{name}"))
    }

    pub(crate) fn css(&self, selector: &str, name: &str) -> String {
        let element = self.element(selector);
        self.get(&format!("/element/{element}/css/{name}")).as_str().unwrap_or_default().to_owned()
    }

    /// The name that assistive technology reads.
    pub(crate) fn label(&self, selector: &str) -> String {
        let element = self.element(selector);
        self.get(&format!("/element/{element}/computedlabel")).as_str().unwrap_or_default().to_owned()
    }

    /// Types into whatever has the focus; `\u{e004}` is Tab, `\u{e007}` Enter.
    pub(crate) fn press(&self, keys: &str) {
        let strokes: Vec<Value> = keys
            .chars()
            .flat_map(|key| [json!({"type": "keyDown", "value": key}), json!({"type": "keyUp", "value": key})])
            .collect();
        let actions = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        let outcome = self.post("/actions", &actions);
        assert!(outcome.is_null(), "{outcome}");
    }

    pub(crate) fn resize(&self, width: u32, height: u32) {
        self.post("/window/rect", &json!({"width": width, "height": height}));
    }

    /// The value of an expression in the page.
    pub(crate) fn evaluate(&self, expression: &str) -> Value {
        self.post("/execute/sync", &json!({"script": format!("return {expression};"), "args": []}))
    }

    /// Makes the window that of a device so wide and high, in CSS pixels: narrower than a window can be.
    pub(crate) fn emulate_size(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": true});
        self.protocol("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// Sets what a person prefers, such as `prefers-color-scheme`.
    pub(crate) fn emulate_preference(&self, feature: &str, value: &str) {
        let features = json!({"features": [{"name": feature, "value": value}]});
        self.protocol("Emulation.setEmulatedMedia", &features);
    }

    /// A command of the protocol of Chromium's developer tools.
    fn protocol(&self, command: &str, parameters: &Value) {
        let outcome = self.post("/goog/cdp/execute", &json!({"cmd": command, "params": parameters}));
        assert!(outcome.get("error").is_none(), "{command}: {outcome}");
    }

    /// The findings of axe-core (WCAG 2.2 A and AA, and its best practices) on the page as it is, one line each.
    pub(crate) fn accessibility_findings(&self) -> Vec<String> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/target/node/node_modules/axe-core/axe.min.js");
        let axe = std::fs::read_to_string(path)
            .unwrap_or_else(|error| panic!("cannot read axe-core ({error}): `make deps` installs it"));
        self.post("/timeouts", &json!({"script": 50_000}));
        let script = axe
            + ";const done = arguments[arguments.length - 1];\
               const tags = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];\
               axe.run(document, {runOnly: {type: 'tag', values: tags}}).then(\
                 (found) => done(found.violations.map((it) => `${it.id}: ${it.help}: ${it.nodes.map((node) => node.html).slice(0, 3).join(' ')}`)),\
                 (error) => done([String(error)]));";
        let found = self.post("/execute/async", &json!({"script": script, "args": []}));
        let lines = found.as_array().unwrap_or_else(|| panic!("axe-core said nothing: {found}"));
        lines.iter().map(|line| line.as_str().unwrap_or_default().to_owned()).collect()
    }

    /// The messages of its console, such as violations of a policy.
    pub(crate) fn console(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({"type": "browser"}));
        let lines = log.as_array().cloned().unwrap_or_default();
        lines.iter().map(|line| line["message"].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// A picture of the window, as PNG in base64.
    pub(crate) fn picture(&self) -> String {
        self.get("/screenshot").as_str().unwrap_or_default().to_owned()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver ends the browser with its session.
        let request = Request::new(self.address, "DELETE", &format!("/session/{}", self.session));
        let mut connection = Connection::plain(self.address);
        drop(request.try_on(&mut connection));
        self.driver.kill().ok();
        self.driver.wait().ok();
        std::fs::remove_dir_all(&self.profile).ok();
    }
}

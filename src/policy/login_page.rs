//! `login.page`, read: the title and the style of the login page.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::config::{Config, Problems, raw};

/// The style of every login page, light and dark.
const STYLE: &str = include_str!("login_page.css");

/// Largest stylesheet, in bytes: it is part of each page.
const LARGEST: usize = 64 * 1024;

/// The title and the style of the login page.
#[derive(Debug)]
pub struct LoginPage {
    /// The title, as text.
    pub title: String,
    /// The content of its `style` element.
    pub style: String,
    /// The source expressions of `style-src` and `img-src` (CSP Level 3): that style, and what it may show.
    pub sources: String,
}

impl LoginPage {
    /// Reads the stylesheet; what is wrong goes to `problems`.
    pub(super) fn read(config: &Config, page: &raw::LoginPage, problems: &mut Problems) -> Option<Self> {
        let own = match page.stylesheet.as_ref().map(|file| stylesheet(config, file)) {
            Some(Err((message, help))) => {
                problems.push(config.problem("login.page.stylesheet", message, help));
                return None;
            }
            Some(Ok(own)) => own,
            None => String::new(),
        };
        let pictures = if own.is_empty() { "" } else { "; img-src data:; font-src data:" };
        let style = format!("{STYLE}{own}");
        let hash = BASE64.encode(digest::digest(&digest::SHA256, style.as_bytes()));
        Some(Self { title: page.title.clone(), sources: format!("style-src 'sha256-{hash}'{pictures}"), style })
    }
}

/// The stylesheet as a browser sees it: with line feeds only, or its hash would be another one.
fn stylesheet(config: &Config, file: &raw::FilePath) -> Result<String, (String, String)> {
    let bytes = config.read_file(file)?;
    let unusable = |message: &str, help: &str| (message.to_owned(), help.to_owned());
    if bytes.len() > LARGEST {
        return Err(unusable("this stylesheet is larger than 64 KiB", "make it smaller: it is part of each page"));
    }
    let text = String::from_utf8(bytes).map_err(|_| unusable("this stylesheet is not UTF-8", "save it as UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    if text.contains('\0') || text.to_ascii_lowercase().contains("</style") {
        return Err(unusable("this is no stylesheet: it would end the style of the page", "remove `</style` and NUL"));
    }
    Ok(text)
}

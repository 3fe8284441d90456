//! A curl command line as a request. No value of it stands in an error: values can be secrets.

use std::path::Path;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::gateway::explain::question::ExplainQuestion;

/// What `--data-urlencode` encodes (RFC 3986 section 2.3).
const ENCODED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Options with a value that say nothing about the request.
const IGNORED_WITH_VALUE: &str = "--cacert --capath --cert-type --ciphers --connect-timeout --connect-to --dns-servers --interface --key \
    --key-type --limit-rate --local-port --max-redirs --max-time --noproxy --output --pass --proxy \
    --proxy-user --resolve --retry --retry-delay --retry-max-time --speed-limit --speed-time --stderr \
    --tls-max --trace --write-out";

/// Options without a value that say nothing about it.
const IGNORED: &str = "--fail --fail-with-body --globoff --http1.0 --http1.1 --http2 --http2-prior-knowledge --http3 --include \
    --insecure --ipv4 --ipv6 --location --no-buffer --no-keepalive --no-progress-meter \
    --progress-bar --remote-header-name --remote-name --show-error --silent --ssl-no-revoke --tcp-nodelay \
    --tlsv1 --tlsv1.0 --tlsv1.1 --tlsv1.2 --tlsv1.3 --verbose --no-alpn --basic --raw --parallel \
    --retry-all-errors --tr-encoding";

/// Short options, each before its long form.
const SHORT: &str = "X--request H--header d--data u--user b--cookie A--user-agent e--referer G--get I--head F--form \
    T--upload-file E--cert m--max-time o--output w--write-out x--proxy U--proxy-user k--insecure s--silent \
    S--show-error v--verbose i--include L--location f--fail 0--http1.0 g--globoff N--no-buffer \
    #--progress-bar 4--ipv4 6--ipv6 O--remote-name J--remote-header-name 1--tlsv1 Z--parallel c--cookie-jar";

/// A request as it is read word by word.
#[derive(Default)]
pub(super) struct CurlRequest {
    method: Option<String>,
    url: Option<String>,
    /// `None`: curl's own field of this name is left out.
    headers: Vec<(String, Option<String>)>,
    data: Option<String>,
    is_json: bool,
    is_get: bool,
    is_head: bool,
    is_compressed: bool,
    keeps_dots: bool,
    /// Notes for the operator.
    pub(super) notes: Vec<&'static str>,
}

impl CurlRequest {
    /// Reads the words behind `curl`.
    ///
    /// # Errors
    /// An option is not understood, or lacks its value.
    pub(super) fn read(words: &[String]) -> anyhow::Result<Self> {
        let (mut request, mut words) = (Self::default(), words.iter());
        let mut is_plain = false;
        while let Some(word) = words.next() {
            if is_plain || !word.starts_with('-') || word == "-" {
                request.set_url(word)?;
            } else if word == "--" {
                is_plain = true;
            } else if word.starts_with("--") {
                let (name, value) =
                    word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
                request.option(name, value, &mut words)?;
            } else {
                request.short_options(word, &mut words)?;
            }
        }
        Ok(request)
    }

    fn short_options(&mut self, word: &str, words: &mut std::slice::Iter<'_, String>) -> anyhow::Result<()> {
        for (at, letter) in word.char_indices().skip(1) {
            let Some(name) = SHORT.split(' ').find_map(|known| known.strip_prefix(letter)) else {
                bail!(unknown(&format!("-{letter}")))
            };
            if !takes_value(name) {
                self.option(name, None, words)?;
                continue;
            }
            let rest = &word[at + letter.len_utf8()..];
            return self.option(name, Some(rest).filter(|rest| !rest.is_empty()), words);
        }
        Ok(())
    }

    fn option(
        &mut self,
        name: &str,
        value: Option<&str>,
        words: &mut std::slice::Iter<'_, String>,
    ) -> anyhow::Result<()> {
        if !takes_value(name) {
            return self.switch(name);
        }
        let next = || words.next().map(String::as_str);
        let value = value.or_else(next).with_context(|| format!("the option {name} of curl lacks its value"))?;
        match name {
            "--request" => self.method = Some(value.to_owned()),
            "--url" => self.set_url(value)?,
            "--header" => self.add_header(value)?,
            "--user-agent" => self.set("User-Agent", value.to_owned()),
            "--referer" => self.set("Referer", value.to_owned()),
            "--oauth2-bearer" => self.set("Authorization", format!("Bearer {value}")),
            "--user" => {
                let pair = if value.contains(':') { value.to_owned() } else { format!("{value}:") };
                self.set("Authorization", format!("Basic {}", BASE64.encode(pair)));
            }
            "--cookie" if value.contains('=') => self.set("Cookie", value.to_owned()),
            "--cookie" => bail!("a file of cookies is not read here: give them as -b 'NAME=VALUE'"),
            "--data" | "--data-ascii" => self.add_data(&text_of(value, true)?),
            "--data-binary" => self.add_data(&text_of(value, false)?),
            "--data-raw" => self.add_data(value),
            "--data-urlencode" => self.add_data(&encoded(value)?),
            "--json" => {
                self.is_json = true;
                let (text, data) = (text_of(value, false)?, self.data.get_or_insert_default());
                data.push_str(&text);
            }
            "--cert" => self.notes.push("--cert is ignored: no client certificate is shown in an explanation"),
            "--form" | "--form-string" => {
                bail!(
                    "curl's multipart forms (-F) are not made here: give the body by --data-binary, and its Content-Type"
                )
            }
            "--upload-file" => bail!("curl's uploads (-T) are not made here: use -X PUT --data-binary @FILE"),
            "--config" | "--next" => bail!("{name} of curl is not followed here: give one request"),
            _ => {}
        }
        Ok(())
    }

    fn switch(&mut self, name: &str) -> anyhow::Result<()> {
        match name {
            "--get" => self.is_get = true,
            "--head" => self.is_head = true,
            "--compressed" => self.is_compressed = true,
            "--path-as-is" => self.keeps_dots = true,
            name if is_one_of(IGNORED, name) => {}
            name => bail!(unknown(name)),
        }
        Ok(())
    }

    fn set_url(&mut self, url: &str) -> anyhow::Result<()> {
        if self.url.is_some() {
            bail!("there are two URLs in the curl command: give one request")
        }
        let has_scheme = url.contains("://");
        self.url = Some(if has_scheme { url.to_owned() } else { format!("http://{url}") });
        Ok(())
    }

    fn set(&mut self, name: &str, value: String) {
        self.headers.push((name.to_owned(), Some(value)));
    }

    /// `Name: value`, `Name;` for an empty one, `Name:` for none.
    pub(super) fn add_header(&mut self, line: &str) -> anyhow::Result<()> {
        if line.starts_with('@') {
            bail!("a file of header fields (-H @FILE) is not read here");
        }
        let (name, value) = match (line.split_once(':'), line.strip_suffix(';')) {
            (Some((name, value)), _) => (name, Some(value.trim()).filter(|value| !value.is_empty())),
            (None, Some(name)) => (name, Some("")),
            (None, None) => bail!("a header has to be written as 'Name: value'"),
        };
        self.headers.push((name.to_owned(), value.map(str::to_owned)));
        Ok(())
    }

    fn add_data(&mut self, more: &str) {
        match &mut self.data {
            Some(data) => {
                data.push('&');
                data.push_str(more);
            }
            None => self.data = Some(more.to_owned()),
        }
    }

    /// The request, with the fields that curl adds.
    ///
    /// # Errors
    /// It has no URL.
    pub(super) fn question(mut self) -> anyhow::Result<ExplainQuestion> {
        let mut url = self.url.take().context("the curl command has no URL")?;
        if let Some((before, _fragment)) = url.split_once('#') {
            url = before.to_owned();
        }
        if !self.keeps_dots {
            url = without_dots(&url);
        }
        if self.is_get
            && let Some(data) = self.data.take()
        {
            url = format!("{url}{}{data}", if url.contains('?') { '&' } else { '?' });
        }
        let method = match (self.method.take(), self.is_head, self.data.is_some()) {
            (Some(method), ..) => method,
            (None, true, _) => "HEAD".to_owned(),
            (None, false, true) => "POST".to_owned(),
            (None, false, false) => "GET".to_owned(),
        };
        let mut usual = vec![("User-Agent", "curl"), ("Accept", if self.is_json { "application/json" } else { "*/*" })];
        if self.data.is_some() {
            usual.push((
                "Content-Type",
                if self.is_json { "application/json" } else { "application/x-www-form-urlencoded" },
            ));
        }
        if self.is_compressed {
            usual.push(("Accept-Encoding", "deflate, gzip, br, zstd"));
        }
        for (name, value) in usual {
            if !self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
                self.set(name, value.to_owned());
            }
        }
        let headers = self.headers.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        Ok(ExplainQuestion { method, url, headers, body: self.data, client_address: None, listener: None })
    }
}

/// The URL as curl sends it: without `/./` and `/../` in its path (RFC 3986 section 5.2.4).
fn without_dots(url: &str) -> String {
    let begin = url.find("://").map_or(0, |at| at + 3);
    let Some(slash) = url[begin..].find('/').map(|at| begin + at) else { return url.to_owned() };
    let end = url[slash..].find('?').map_or(url.len(), |at| slash + at);
    if url[begin..slash].contains('?') {
        return url.to_owned();
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut is_folder = false;
    for segment in url[slash + 1..end].split('/') {
        is_folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            segment => kept.push(segment),
        }
    }
    if is_folder {
        kept.push("");
    }
    format!("{}/{}{}", &url[..slash], kept.join("/"), &url[end..])
}

fn is_one_of(options: &str, name: &str) -> bool {
    options.split(' ').any(|known| known == name)
}

fn takes_value(name: &str) -> bool {
    const MEANT: &str = "--request --url --header --user-agent --referer --oauth2-bearer --user --cookie --data --data-ascii \
    --data-binary --data-raw --data-urlencode --json --cert --form --form-string --upload-file --config \
    --cookie-jar --proxy-header";
    is_one_of(MEANT, name) || is_one_of(IGNORED_WITH_VALUE, name)
}

fn unknown(name: &str) -> String {
    format!(
        "the option {name} of curl is not understood here: leave it out, or give the request by --method, --url, --header and --data"
    )
}

/// The text itself, or that of the file behind `@`.
fn text_of(value: &str, without_line_breaks: bool) -> anyhow::Result<String> {
    let Some(file) = value.strip_prefix('@') else { return Ok(value.to_owned()) };
    let text = read(Path::new(file))?;
    Ok(if without_line_breaks { text.replace(['\r', '\n'], "") } else { text })
}

fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        bail!("standard input is not read here: name a file");
    }
    std::fs::read_to_string(file).with_context(|| format!("cannot read the data of the request in {}", file.display()))
}

/// `text`, `=text`, `name=text`, `@file` or `name@file`, percent-encoded.
fn encoded(value: &str) -> anyhow::Result<String> {
    let encode = |text: &str| utf8_percent_encode(text, &ENCODED).to_string();
    Ok(match value.find(['=', '@']) {
        None => encode(value),
        Some(at) => {
            let (name, rest) = (&value[..at], &value[at + 1..]);
            let text = if value.as_bytes()[at] == b'@' { read(Path::new(rest))? } else { rest.to_owned() };
            if name.is_empty() { encode(&text) } else { format!("{name}={}", encode(&text)) }
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::super::shell_words::shell_words;
    use super::*;

    fn read_line(line: &str) -> anyhow::Result<ExplainQuestion> {
        CurlRequest::read(&shell_words(line).unwrap()[1..]).and_then(CurlRequest::question)
    }

    fn header(question: &ExplainQuestion, name: &str) -> Option<String> {
        let found = question.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.clone())
    }

    #[test]
    fn the_options_that_people_have_are_understood() {
        let question = read_line(
            "curl -sSkXPUT 'https://a.test/x?y=1#z' -H 'Api-Key: k' -H'Accept:' -u me:pw -b 'a=1; b=2' -A me \\\n \
             --data-raw '{\"a\":1}' --compressed -H 'Content-Type: application/json'",
        )
        .unwrap();
        assert_eq!((question.method.as_str(), question.url.as_str()), ("PUT", "https://a.test/x?y=1"));
        assert_eq!(question.body.as_deref(), Some("{\"a\":1}"));
        for (name, value) in [
            ("api-key", Some("k")),
            ("accept", None),
            ("authorization", Some("Basic bWU6cHc=")),
            ("cookie", Some("a=1; b=2")),
            ("user-agent", Some("me")),
            ("content-type", Some("application/json")),
        ] {
            assert_eq!(header(&question, name).as_deref(), value, "{name}");
        }
        let get = read_line("curl a.test/x -d a=1 -G --data-urlencode 'b=c d'").unwrap();
        assert_eq!((get.method.as_str(), get.url.as_str(), get.body), ("GET", "http://a.test/x?a=1&b=c%20d", None));
        assert_eq!(read_line("curl -I https://a.test").unwrap().method, "HEAD");
        for (path, sent) in [
            ("/a/../b", "/b"),
            ("/a/./b?x=/../y", "/a/b?x=/../y"),
            ("/../../b/..", "/"),
            ("/a/b/.", "/a/b/"),
            ("/a//b/", "/a//b/"),
            ("", ""),
        ] {
            let url = |options: &str| read_line(&format!("curl {options} 'https://a.test{path}'")).unwrap().url;
            assert_eq!(url(""), format!("https://a.test{sent}"));
            assert_eq!(url("--path-as-is"), format!("https://a.test{path}"));
        }
        let json = read_line("curl --json '{}' https://a.test").unwrap();
        assert_eq!(
            (json.method.as_str(), header(&json, "content-type").as_deref()),
            ("POST", Some("application/json"))
        );
    }

    #[test]
    fn what_is_not_understood_is_named_without_its_value() {
        for (line, part) in [
            ("curl --nonsense https://a.test", "--nonsense"),
            ("curl -Q https://a.test", "-Q"),
            ("curl -F file=@s3cret https://a.test", "-F"),
            ("curl -b jar.s3cret https://a.test", "-b"),
            ("curl https://a.test -H", "--header"),
            ("curl -H s3cret https://a.test", "Name: value"),
            ("curl -k", "no URL"),
            ("curl https://a.test https://b.test/?s3cret", "two URLs"),
        ] {
            let error = read_line(line).err().unwrap().to_string();
            assert!(error.contains(part) && !error.contains("s3cret"), "{line}: {error}");
        }
    }
}

//! `wicketgate id`: from a customer to the identifier and back. Whoever can read the key can do this.

use std::io::BufRead as _;

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand};

use super::{ConfigFile, MARK, audit, say};
use crate::audit::AuditEvent;
use crate::config::{self, Config, Problems};
use crate::customer::Deriver;
use crate::policy;

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate id for --config gateway.yaml < subject.txt\n  \
    wicketgate id for --issuer https://login.example.com < subject.txt\n  wicketgate id trace t1-… --config gateway.yaml\n  \
    wicketgate id migrate < subjects.txt > mapping.csv";

/// Issuers that a message names.
const SHOWN: usize = 20;

#[derive(Debug, Subcommand)]
pub(super) enum Id {
    /// Print the identifiers of customers, by their subjects on standard input, one per line.
    #[command(after_help = EXAMPLE)]
    For(For),
    /// Print the customer of an identifier; needs `identifier.mode: traceable`. The user who asked is recorded in audit.jsonl
    /// beside the state.
    #[command(after_help = EXAMPLE)]
    Trace(Trace),
    /// After `wicketgate rotate identifier-key`: print old and new identifiers of customers, by their subjects on standard
    /// input, one per line.
    #[command(after_help = EXAMPLE)]
    Migrate(Migrate),
}

#[derive(Debug, Args)]
pub(super) struct For {
    /// The company's own key of one customer: `subject` in accounts.yaml, or the subject claim of an issuer's tokens. As an
    /// argument, other users of this machine see it while this runs, and the shell keeps it; without it, or with `-`, it
    /// is read from standard input.
    subject: Option<String>,
    #[command(flatten)]
    world: World,
}

#[derive(Debug, Args)]
pub(super) struct Trace {
    /// The identifier that backends and ASAPP get.
    identifier: String,
    #[command(flatten)]
    world: World,
}

#[derive(Debug, Args)]
pub(super) struct Migrate {
    /// Also write the subjects. Without them the list can be given to holders of the identifiers.
    #[arg(long)]
    with_subjects: bool,
    #[command(flatten)]
    world: World,
}

#[derive(Debug, Args)]
struct World {
    /// The issuer (or tenant) of the customer. Default: the gateway's own accounts.
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// The backend that has identifiers of its own (`backends.NAME.pairwise`).
    #[arg(long, value_name = "NAME")]
    backend: Option<String>,
    #[command(flatten)]
    file: ConfigFile,
}

/// Maps one way or the other.
pub(super) fn id(id: &Id) -> anyhow::Result<()> {
    match id {
        Id::For(what) => {
            let mapper = Mapper::of(&what.world)?;
            match what.subject.as_deref() {
                None | Some("-") => {
                    mapper.audit(AuditEvent::new("id_for", "ok"))?;
                    identifiers(&mapper)
                }
                Some(subject) => {
                    let identifier = mapper.current(subject)?;
                    mapper.audit(AuditEvent::new("id_for", "ok").with("identifier", identifier.as_str()))?;
                    say(&identifier)
                }
            }
        }
        Id::Trace(what) => {
            let mapper = Mapper::of(&what.world)?;
            // Nobody is told before it is written down who asked.
            audit::note(&mapper.config, AuditEvent::new("id_trace", "ok").with("identifier", what.identifier.as_str()))
                .context("nothing is traced")?;
            let origin = mapper.names.trace(&what.identifier).map_err(|fault| anyhow::anyhow!("{fault}"))?;
            say(&format!("issuer   {}\nsubject  {}", origin.issuer, origin.subject))
        }
        Id::Migrate(what) => {
            let mapper = Mapper::of(&what.world)?;
            mapper.audit(AuditEvent::new("id_migrate", "ok").with("with_subjects", what.with_subjects))?;
            migrate(&mapper, what.with_subjects)
        }
    }
}

fn migrate(mapper: &Mapper, with_subjects: bool) -> anyhow::Result<()> {
    say(if with_subjects { "previous,current,subject" } else { "previous,current" })?;
    each_subject(|subject| {
        let current = mapper.current(subject)?;
        let previous = mapper.previous(subject).context(
            "there is no identifier key before the present one: `wicketgate rotate identifier-key` keeps it in its file",
        )?;
        if with_subjects {
            say(&format!("{previous},{current},\"{}\"", subject.replace('"', "\"\"")))?;
        } else {
            say(&format!("{previous},{current}"))?;
        }
        Ok(())
    })?;
    Ok(())
}

/// Says the identifier of each subject on standard input.
fn identifiers(mapper: &Mapper) -> anyhow::Result<()> {
    let count = each_subject(|subject| say(&mapper.current(subject)?))?;
    anyhow::ensure!(count > 0, "no subject stands on standard input");
    Ok(())
}

/// Does something with each subject on standard input, one on each line; how many there were.
fn each_subject(mut each: impl FnMut(&str) -> anyhow::Result<()>) -> anyhow::Result<usize> {
    let mut count = 0;
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let place = || format!("line {}", number + 1);
        let line = line.with_context(place)?;
        // Files that are put together have one before each.
        let subject = line.trim_start_matches(MARK).trim_end_matches('\r');
        if !subject.is_empty() {
            each(subject).with_context(place)?;
            count += 1;
        }
    }
    Ok(count)
}

/// Mapping between subjects and identifiers.
struct Mapper {
    config: Config,
    /// Derives the identifiers of tokens and of most backends.
    all: Deriver,
    /// Derives the identifiers of the backend in question.
    names: Deriver,
    is_pairwise: bool,
    /// `None`: the customers are those of other issuers, and none of these is named.
    issuer: Option<String>,
}

impl Mapper {
    fn of(world: &World) -> anyhow::Result<Self> {
        let (config, problems) = config::read(&world.file.config)?;
        if !problems.is_empty() {
            return Err(problems.into());
        }
        let identifier = config.raw().identifier.as_ref();
        let identifier =
            identifier.ok_or_else(|| anyhow::anyhow!("{} has no `identifier`", world.file.config.display()))?;
        let mut problems = Problems::default();
        let all = || policy::read_deriver(&config, identifier, &mut Problems::default());
        let Some(deriver) = policy::read_deriver(&config, identifier, &mut problems) else {
            return Err(problems.into());
        };
        let names = match &world.backend {
            None => all().context("the key has just changed: try again")?,
            Some(name) => {
                let backend =
                    config.raw().backends.get(name).with_context(|| format!("there is no backend `{name}`"))?;
                anyhow::ensure!(backend.pairwise, "the backend `{name}` has no identifiers of its own");
                deriver.pairwise(name)
            }
        };
        let known = policy::tenants(config.raw());
        let found = match &world.issuer {
            None => known.first().filter(|known| known.is_own),
            Some(named) => {
                let by_issuer = known.iter().find(|known| known.issuer.contains(named));
                by_issuer.or_else(|| known.iter().find(|known| known.tenant == *named))
            }
        };
        if let (Some(named), None) = (&world.issuer, found) {
            let names: Vec<&str> =
                known.iter().map(|known| known.issuer.first().unwrap_or(&known.tenant).as_str()).collect();
            let more = names.len().saturating_sub(SHOWN);
            let more = if more > 0 { format!(", and {more} more") } else { String::new() };
            let shown = names[..names.len().min(SHOWN)].join(", ");
            bail!("`{named}` is no issuer of customers here: there are {shown}{more}");
        }
        let issuer = found.map(|found| found.tenant.clone());
        let is_pairwise = world.backend.is_some();
        Ok(Self { all: deriver, names, is_pairwise, issuer, config })
    }

    fn current(&self, subject: &str) -> anyhow::Result<String> {
        let issuer = self.issuer.as_ref().context("there are no accounts of our own: name the issuer with --issuer")?;
        let identifier = self.all.derive(issuer, subject).map_err(|fault| anyhow::anyhow!("{fault}"))?;
        let shown = if self.is_pairwise {
            self.names.for_backend(&self.all, &identifier).map_err(|fault| anyhow::anyhow!("{fault}"))?
        } else {
            identifier
        };
        Ok(shown.as_str().to_owned())
    }

    /// For as long as the key before stands in the file, also after its end.
    fn previous(&self, subject: &str) -> Option<String> {
        let issuer = self.issuer.as_ref()?;
        let previous = self.all.derive_previous(issuer, subject, 0)?;
        if !self.is_pairwise {
            return Some(previous.as_str().to_owned());
        }
        Some(self.names.previous_for_backend(&self.all, issuer, subject)?.as_str().to_owned())
    }

    /// Writes down that somebody maps customers.
    fn audit(&self, event: AuditEvent) -> anyhow::Result<()> {
        audit::note(&self.config, event.with("issuer", self.issuer.as_deref().unwrap_or_default()))
            .context("nothing is said")
    }
}

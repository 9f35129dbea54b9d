//! `metal3-ipam top`: the terminal, and the loop over keys, changes and time.

use std::io::{IsTerminal, stdout};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use jiff::Timestamp;
use ratatui::DefaultTerminal;
use ratatui::layout::{Position, Rect};
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use super::super::ask::{Target, reach};
use super::super::signals;
use super::draw::{self, Paint};
use super::live::Live;
use super::screen::{Act, Pace, Screen};
use super::store::View;
use crate::api::PoolKey;

/// Shows pools on a live screen: how full they are, how many claims wait and how fast claims become bound, the worst first.
///
/// Enter opens a pool, `?` lists the keys, `q` quits. Nothing is written. Without a terminal: `metal3-ipam
/// pools -w`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Top {
    #[command(flatten)]
    target: Target,
}

impl Top {
    pub(in crate::cli) async fn run(self) -> anyhow::Result<ExitCode> {
        anyhow::ensure!(
            stdout().is_terminal(),
            "top needs a terminal, and standard output is none; use: metal3-ipam pools -w"
        );
        let (client, namespace) = reach(&self.target).await?;
        let stop = signals::shutdown()?;
        let live = Live::start(&client, namespace.as_deref());
        let top = Running {
            live,
            screen: Screen::default(),
            view: View::default(),
            paint: if self.target.place.has_colours() {
                Paint::Colours
            } else {
                Paint::Plain
            },
        };
        let mut held = HeldTerminal::take()?;
        top.until_quit(&mut held.terminal, &stop).await?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The terminal in raw mode, on its second page. It is given back when this is dropped, and by a hook before a panic's message.
struct HeldTerminal {
    terminal: DefaultTerminal,
}

impl HeldTerminal {
    fn take() -> anyhow::Result<Self> {
        let terminal = ratatui::try_init().context("cannot draw on the terminal")?;
        Ok(Self { terminal })
    }
}

impl Drop for HeldTerminal {
    fn drop(&mut self) {
        // A terminal that has gone needs nothing back.
        let _ = ratatui::try_restore();
    }
}

/// A screen that runs.
struct Running {
    live: Live,
    screen: Screen,
    view: View,
    paint: Paint,
}

impl Running {
    async fn until_quit(
        mut self,
        terminal: &mut DefaultTerminal,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut keys = EventStream::new();
        loop {
            terminal
                .draw(|frame| draw::draw(frame, &self.screen, &self.view, self.paint))
                .context("cannot draw on the terminal")?;
            let is_live = self.screen.pace == Pace::Live;
            let act = loop {
                let due = self.live.due;
                tokio::select! {
                    () = stop.cancelled() => break Act::Quit,
                    changed = self.live.changes() => changed?,
                    () = sleep_until(due), if is_live => {
                        self.refresh();
                        break Act::Stay;
                    }
                    event = keys.next() => match event {
                        Some(Ok(Event::Key(key))) => {
                            let area = Rect::from((Position::ORIGIN, terminal.size()?));
                            let page = draw::page(area, &self.view, &self.screen);
                            break self.screen.on_key(key, &self.view, page);
                        }
                        Some(Ok(_)) => break Act::Stay,
                        Some(Err(error)) => return Err(error).context("cannot read keys"),
                        None => break Act::Quit,
                    },
                }
            };
            match act {
                Act::Stay => {}
                Act::Open(key) => self.open(key),
                Act::Quit => return Ok(()),
            }
        }
    }

    /// Brings what is shown up to date.
    fn refresh(&mut self) {
        let opened = self.screen.opened.as_ref().map(|opened| &opened.key);
        let opened = opened.filter(|key| self.live.store.is_marked(key)).cloned();
        self.live.rebuild();
        self.view = self.live.store.view(self.live.at());
        if let Some(key) = opened {
            self.open(key);
        }
    }

    fn open(&mut self, key: PoolKey) {
        let text = self.live.store.text(&key, Timestamp::now());
        let gone = || format!("IPPool {key} does not exist, and no claim or address names it\n");
        let text = text.unwrap_or_else(gone);
        self.screen.open(key, &text);
    }
}

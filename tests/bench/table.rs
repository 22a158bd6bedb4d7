//! What was measured, as a table for people: medians over the rounds, and ratios to the first peer.

use std::io::{Write, stdout};

use anyhow::Result;

use crate::measure::Figure;

/// The rounds of one scenario.
#[derive(Debug)]
pub(crate) struct Table {
    title: String,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    peer: String,
    rounds: Vec<Vec<Figure>>,
}

impl Table {
    pub(crate) fn new(title: String) -> Self {
        Self {
            title,
            rows: Vec::new(),
        }
    }

    /// Adds one round of a peer.
    pub(crate) fn add(&mut self, peer: &str, figures: &[Figure]) {
        let row = match self.rows.iter_mut().position(|row| row.peer == peer) {
            Some(at) => self.rows.get_mut(at),
            None => {
                self.rows.push(Row {
                    peer: peer.to_owned(),
                    rounds: Vec::new(),
                });
                self.rows.last_mut()
            }
        };
        if let Some(row) = row {
            row.rounds.push(figures.to_vec());
        }
    }

    /// Prints it. The first figure is what peers are compared by: its extremes show how far to trust it.
    pub(crate) fn print(&self) -> Result<()> {
        let mut out = stdout().lock();
        let Some(first) = self.rows.first() else {
            return Ok(());
        };
        writeln!(out, "\n{}", self.title)?;
        write!(out, "{:<16}", "")?;
        for (index, figure) in first
            .rounds
            .iter()
            .flatten()
            .take(first.columns())
            .enumerate()
        {
            write!(out, "{:>17}", figure.name)?;
            if index == 0 {
                write!(out, "{:>17}{:>9}", "min - max", "ratio")?;
            }
        }
        writeln!(out)?;
        for row in &self.rows {
            write!(out, "{:<16}", row.peer)?;
            for column in 0..row.columns() {
                let values = row.sorted(column);
                write!(out, "{:>17}", number(median(&values)))?;
                if let (0, Some(min), Some(max)) = (column, values.first(), values.last()) {
                    let ratio = median(&values) / median(&first.sorted(0));
                    write!(
                        out,
                        "{:>17}{ratio:>9.2}",
                        format!("{} - {}", number(*min), number(*max))
                    )?;
                }
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

impl Row {
    fn columns(&self) -> usize {
        self.rounds.first().map_or(0, Vec::len)
    }

    fn sorted(&self, column: usize) -> Vec<f64> {
        let mut values: Vec<f64> = self
            .rounds
            .iter()
            .filter_map(|round| round.get(column))
            .map(|figure| figure.value)
            .collect();
        values.sort_by(f64::total_cmp);
        values
    }
}

fn median(sorted: &[f64]) -> f64 {
    let upper = sorted.get(sorted.len() / 2);
    let lower = sorted.get(sorted.len().saturating_sub(1) / 2);
    upper
        .zip(lower)
        .map_or(f64::NAN, |(upper, lower)| (upper + lower) / 2.0)
}

/// Three significant digits or so.
fn number(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

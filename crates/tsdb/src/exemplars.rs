//! The newest exemplars: a ring of fixed size, in which those of a series are linked in order of time.

use std::collections::HashMap;

use model::{Labels, Matcher};
use storage::{BatchExemplar, Rejection};

use crate::metrics::Metrics;

/// Most characters of an exemplar's labels, names and values together. OpenMetrics' limit.
const MAX_LABELS: usize = 128;
const NONE: u32 = u32::MAX;

/// An exemplar.
#[derive(Debug, Clone, PartialEq)]
pub struct Exemplar {
    /// Its own labels.
    pub labels: Labels,
    /// Milliseconds since the Unix epoch.
    pub t: i64,
    /// The value.
    pub v: f64,
}

impl Exemplar {
    /// As it is stored: labels without a value are none.
    pub(crate) fn of(example: &BatchExemplar) -> Exemplar {
        let labels = match example.labels.iter().any(|(_, value)| value.is_empty()) {
            true => Labels::from_sorted(example.labels.iter().filter(|(_, value)| !value.is_empty())),
            false => example.labels.clone(),
        };
        Exemplar { labels, t: example.t, v: example.v }
    }
}

/// Whether these labels are more than an exemplar may have.
pub(crate) fn is_too_long(labels: &Labels) -> bool {
    labels.iter().map(|(n, v)| n.chars().count() + v.chars().count()).sum::<usize>() > MAX_LABELS
}

/// The exemplars of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesExemplars {
    /// The series.
    pub labels: Labels,
    /// In order of time.
    pub exemplars: Vec<Exemplar>,
}

/// A place of the ring.
#[derive(Debug, Clone)]
struct Entry {
    exemplar: Exemplar,
    /// The source gave the time.
    timed: bool,
    /// Number of the series.
    series: u32,
    /// Places of the neighbours in time.
    older: u32,
    newer: u32,
}

/// A series that has exemplars.
#[derive(Debug)]
struct Member {
    labels: Labels,
    /// The references under which it was met.
    references: Vec<u64>,
    oldest: u32,
    newest: u32,
}

/// See the module.
pub(crate) struct Exemplars {
    ring: Vec<Option<Entry>>,
    /// The place to be written next.
    next: usize,
    members: Vec<Option<Member>>,
    unused: Vec<u32>,
    by_labels: HashMap<Labels, u32>,
    by_reference: HashMap<u64, u32>,
    /// Older exemplars than this, counted from the newest of the series, are out of order; milliseconds.
    window: i64,
    metrics: Metrics,
}

/// What is to be done with an exemplar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Store,
    /// The series has it already.
    Known,
}

impl Exemplars {
    pub(crate) fn new(capacity: usize, window: i64, metrics: Metrics) -> Self {
        metrics.max_exemplars.set(capacity as f64);
        Exemplars {
            ring: (0..capacity).map(|_| None).collect(),
            next: 0,
            members: Vec::new(),
            unused: Vec::new(),
            by_labels: HashMap::new(),
            by_reference: HashMap::new(),
            window: window.max(0),
            metrics,
        }
    }

    /// Whether any may be stored.
    pub(crate) fn enabled(&self) -> bool {
        !self.ring.is_empty()
    }

    pub(crate) fn set_window(&mut self, window: i64) {
        self.window = window.max(0);
    }

    fn member(&self, reference: u64, labels: impl FnOnce() -> Labels) -> Option<u32> {
        self.by_reference.get(&reference).or_else(|| self.by_labels.get(&labels())).copied()
    }

    fn entry(&self, place: u32) -> Option<&Entry> {
        self.ring.get(place as usize).and_then(Option::as_ref)
    }

    /// Whether an exemplar of the series under this reference, whose labels are asked for if need be, would be stored.
    pub(crate) fn check(
        &self,
        reference: u64,
        labels: impl FnOnce() -> Labels,
        exemplar: &Exemplar,
        timed: bool,
    ) -> Result<Check, Rejection> {
        if is_too_long(&exemplar.labels) {
            return Err(Rejection::OutOfBounds);
        }
        let member = self.member(reference, labels).and_then(|m| self.members[m as usize].as_ref());
        let Some(newest) = member.and_then(|member| self.entry(member.newest)) else {
            return Ok(Check::Store);
        };
        let before = &newest.exemplar;
        let same_time = !(timed || newest.timed) || before.t == exemplar.t;
        if same_time && before.v == exemplar.v && before.labels == exemplar.labels {
            return Ok(Check::Known);
        }
        // Those of one time are ordered by value, then by labels: a native histogram has several.
        let late = exemplar.t < before.t && exemplar.t <= before.t.saturating_sub(self.window)
            || exemplar.t == before.t
                && (exemplar.v < before.v || exemplar.v == before.v && exemplar.labels < before.labels);
        if late { Err(Rejection::OutOfOrder) } else { Ok(Check::Store) }
    }

    /// Stores an exemplar unless the check refuses it; says whether it is new.
    pub(crate) fn add(
        &mut self,
        reference: u64,
        labels: impl Fn() -> Labels,
        exemplar: Exemplar,
        timed: bool,
    ) -> Result<bool, Rejection> {
        if !self.enabled() {
            return Ok(false);
        }
        match self.check(reference, &labels, &exemplar, timed) {
            Err(reason) => {
                if reason == Rejection::OutOfOrder {
                    self.metrics.exemplars_out_of_order.inc();
                }
                return Err(reason);
            }
            Ok(Check::Known) => return Ok(false),
            Ok(Check::Store) => {}
        }
        let member = self.member(reference, &labels);
        if let Some(member) = member
            && let Some(place) = self.not_newer(member, exemplar.t)
            && self.members[member as usize].as_ref().is_some_and(|m| m.newest != place)
            && self.entry(place).is_some_and(|entry| entry.exemplar.t == exemplar.t)
        {
            return Ok(false); // out of order, and there is one of that time
        }
        self.remove(self.next);
        // The series may have lost its last exemplar just now.
        let member = match self.member(reference, &labels) {
            Some(member) => member,
            None => self.new_member(labels()),
        };
        if self.by_reference.insert(reference, member).is_none()
            && let Some(m) = &mut self.members[member as usize]
        {
            m.references.push(reference);
        }
        self.link(member, exemplar, timed);
        self.next = (self.next + 1) % self.ring.len();
        self.metrics.exemplars_appended.inc();
        self.note();
        Ok(true)
    }

    fn new_member(&mut self, labels: Labels) -> u32 {
        let member = Member { labels: labels.clone(), references: Vec::new(), oldest: NONE, newest: NONE };
        let number = match self.unused.pop() {
            Some(number) => {
                self.members[number as usize] = Some(member);
                number
            }
            None => {
                self.members.push(Some(member));
                self.members.len() as u32 - 1
            }
        };
        self.by_labels.insert(labels, number);
        number
    }

    /// The place of the series' newest exemplar that is not newer than `t`.
    fn not_newer(&self, member: u32, t: i64) -> Option<u32> {
        let mut place = self.members[member as usize].as_ref()?.newest;
        while let Some(entry) = self.entry(place) {
            if entry.exemplar.t <= t {
                return Some(place);
            }
            place = entry.older;
        }
        None
    }

    /// Puts an exemplar into the free place that is next.
    fn link(&mut self, member: u32, exemplar: Exemplar, timed: bool) {
        let place = self.next as u32;
        let older = self.not_newer(member, exemplar.t).unwrap_or(NONE);
        let Some(of_series) = &mut self.members[member as usize] else { return };
        let newer = match self.ring.get_mut(older as usize).and_then(Option::as_mut) {
            Some(entry) => std::mem::replace(&mut entry.newer, place),
            None => std::mem::replace(&mut of_series.oldest, place),
        };
        match self.ring.get_mut(newer as usize).and_then(Option::as_mut) {
            Some(entry) => entry.older = place,
            None => of_series.newest = place,
        }
        self.ring[self.next] = Some(Entry { exemplar, timed, series: member, older, newer });
    }

    /// Empties a place.
    fn remove(&mut self, place: usize) {
        let Some(entry) = self.ring.get_mut(place).and_then(Option::take) else { return };
        let Some(member) = &mut self.members[entry.series as usize] else { return };
        match self.ring.get_mut(entry.older as usize).and_then(Option::as_mut) {
            Some(older) => older.newer = entry.newer,
            None => member.oldest = entry.newer,
        }
        match self.ring.get_mut(entry.newer as usize).and_then(Option::as_mut) {
            Some(newer) => newer.older = entry.older,
            None => member.newest = entry.older,
        }
        if member.oldest == NONE
            && let Some(member) = self.members[entry.series as usize].take()
        {
            self.unused.push(entry.series);
            self.by_labels.remove(&member.labels);
            for reference in &member.references {
                self.by_reference.remove(reference);
            }
        }
    }

    /// Changes the size of the ring. The newest that have room are kept.
    pub(crate) fn resize(&mut self, capacity: usize) {
        if capacity == self.ring.len() {
            return;
        }
        let excess = self.ring.len().saturating_sub(capacity);
        for i in 0..excess {
            self.remove((self.next + i) % self.ring.len());
        }
        // In the order in which they came, from the first place on.
        let len = self.ring.len();
        let kept: Vec<usize> =
            (excess..len).map(|i| (self.next + i) % len).filter(|&i| self.ring[i].is_some()).collect();
        let mut moved = vec![NONE; len];
        kept.iter().enumerate().for_each(|(to, &from)| moved[from] = to as u32);
        let to = |place: u32| moved.get(place as usize).copied().unwrap_or(NONE);
        let mut ring: Vec<Option<Entry>> = Vec::with_capacity(capacity);
        for &from in &kept {
            ring.extend(self.ring[from].take().map(|entry| {
                let (older, newer) = (to(entry.older), to(entry.newer));
                Some(Entry { older, newer, ..entry })
            }));
        }
        for member in self.members.iter_mut().flatten() {
            (member.oldest, member.newest) = (to(member.oldest), to(member.newest));
        }
        self.next = if capacity == 0 { 0 } else { ring.len() % capacity };
        ring.resize_with(capacity, || None);
        self.ring = ring;
        self.metrics.max_exemplars.set(capacity as f64);
        self.note();
    }

    fn note(&self) {
        self.metrics.exemplar_series.set(self.by_labels.len() as f64);
        let full = self.ring.get(self.next).is_some_and(Option::is_some);
        let stored = if full { self.ring.len() } else { self.next };
        self.metrics.exemplars_stored.set(stored as f64);
        let oldest = if full { self.ring.get(self.next) } else { self.ring.first() };
        match oldest.and_then(Option::as_ref) {
            Some(entry) => self.metrics.exemplars_oldest.set(entry.exemplar.t as f64 / 1000.0),
            None if self.ring.is_empty() => self.metrics.exemplars_oldest.set(0.0),
            None => {}
        }
    }

    /// Exemplars from `min_time` to `max_time` of the series that match any of the sets, in order of labels.
    pub(crate) fn select(&self, sets: &[Vec<Matcher>], min_time: i64, max_time: i64) -> Vec<SeriesExemplars> {
        let mut found: Vec<SeriesExemplars> = Vec::new();
        for member in self.members.iter().flatten() {
            let matches = |set: &Vec<Matcher>| set.iter().all(|m| m.matches(member.labels.value(&m.name)));
            if !sets.iter().any(matches) {
                continue;
            }
            let mut exemplars = Vec::new();
            let mut place = member.oldest;
            while let Some(entry) = self.entry(place).filter(|entry| entry.exemplar.t <= max_time) {
                if entry.exemplar.t >= min_time {
                    exemplars.push(entry.exemplar.clone());
                }
                place = entry.newer;
            }
            if !exemplars.is_empty() {
                found.push(SeriesExemplars { labels: member.labels.clone(), exemplars });
            }
        }
        found.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        found
    }

    /// All, in the order in which they came.
    pub(crate) fn in_order_of_arrival(&self) -> impl Iterator<Item = (&Labels, &Exemplar)> {
        let (newer, older) = self.ring.split_at(self.next);
        older.iter().chain(newer).flatten().filter_map(|entry| {
            let member = self.members[entry.series as usize].as_ref()?;
            Some((&member.labels, &entry.exemplar))
        })
    }
}

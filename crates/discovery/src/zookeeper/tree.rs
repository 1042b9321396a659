//! The nodes below a path, as they were when they were last read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use exposition::registry::Gauge;

use super::member::MemberFormat;
use super::session::{Answer, Broken, Session};
use crate::group::TargetGroup;
use crate::label_set::NameLists;

pub(super) struct Tree {
    root: String,
    /// What each node holds.
    nodes: BTreeMap<String, Vec<u8>>,
    members: MemberFormat,
    lists: NameLists,
    /// One for each node.
    watchers: Gauge,
}

impl Drop for Tree {
    fn drop(&mut self) {
        self.watchers.sub(self.nodes.len() as f64);
    }
}

impl Tree {
    pub(super) fn new(root: &str, members: MemberFormat, lists: &NameLists, watchers: &Gauge) -> Self {
        let (lists, watchers) = (lists.clone(), watchers.clone());
        Tree { root: root.to_owned(), nodes: BTreeMap::new(), members, lists, watchers }
    }

    /// Whether `path` is in it.
    pub(super) fn covers(&self, path: &str) -> bool {
        path.strip_prefix(self.root.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Reads the node at `changed` and its new children, or, if there is none, all nodes; the groups of those that
    /// are not as they were are added to `groups`. The inner error says why the tree is not whole.
    pub(super) async fn read(
        &mut self,
        changed: Option<&str>,
        session: &mut Session,
        groups: &mut Vec<TargetGroup>,
    ) -> Result<Result<(), String>, Broken> {
        let mut paths = vec![changed.unwrap_or(&self.root).to_owned()];
        while let Some(path) = paths.pop() {
            let data = match session.data(&path).await? {
                Answer::Found(data) => data,
                Answer::NoNode if path == self.root => {
                    self.remove(&path, groups);
                    return Ok(Err(format!("path {path} does not exist")));
                }
                Answer::NoNode => {
                    self.remove(&path, groups);
                    continue;
                }
                Answer::Failed(code) => return Ok(Err(format!("error {code} at {path}"))),
            };
            self.set(&path, data, groups);
            let children: BTreeSet<String> = match session.children(&path).await? {
                Answer::Found(children) => children.iter().map(|child| format!("{path}/{child}")).collect(),
                Answer::NoNode => {
                    self.remove(&path, groups);
                    continue;
                }
                Answer::Failed(code) => return Ok(Err(format!("error {code} at {path}"))),
            };
            for gone in
                self.children(&path).filter(|child| !children.contains(*child)).cloned().collect::<Vec<_>>()
            {
                self.remove(&gone, groups);
            }
            // Those that are known are watched in this session, unless everything is read.
            paths.extend(
                children.into_iter().filter(|child| changed.is_none() || !self.nodes.contains_key(child)),
            );
        }
        Ok(Ok(()))
    }

    /// Known children of the node at `path`.
    fn children<'t>(&'t self, path: &str) -> impl Iterator<Item = &'t String> {
        let prefix = format!("{path}/");
        let below = self.nodes.range::<str, _>((Bound::Excluded(prefix.as_str()), Bound::Unbounded));
        let below = below.map(|(path, _)| path);
        let from = prefix.len();
        below
            .take_while(move |path| path.starts_with(&prefix))
            .filter(move |path| !path[from..].contains('/'))
    }

    fn set(&mut self, path: &str, data: Vec<u8>, groups: &mut Vec<TargetGroup>) {
        let member = self.members.read(&data, path, &self.lists);
        match self.nodes.get_mut(path) {
            Some(known) if *known == data => return,
            Some(known) => *known = data,
            None => {
                self.nodes.insert(path.to_owned(), data);
                self.watchers.inc();
            }
        }
        groups.push(TargetGroup::of(path, member.into_iter().collect()));
    }

    /// Removes the node at `path` and all below it.
    fn remove(&mut self, path: &str, groups: &mut Vec<TargetGroup>) {
        let prefix = format!("{path}/");
        let below = self.nodes.range::<str, _>((Bound::Excluded(prefix.as_str()), Bound::Unbounded));
        let below = below.map(|(below, _)| below).take_while(|below| below.starts_with(&prefix));
        let gone: Vec<String> = below.cloned().chain([path.to_owned()]).collect();
        for path in gone {
            if self.nodes.remove(&path).is_some() {
                self.watchers.dec();
                groups.push(TargetGroup::of(path, Vec::new()));
            }
        }
    }
}

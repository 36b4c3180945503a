//! Resolvers: what an application makes of siblings when it reads them.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex};

use super::handles::{ReadContext, Siblings};
use super::space::Space;
use super::store::lock;
use crate::crdt::Write;
use crate::error::{Error, UsageError, shown};
use crate::faults::fault;

type Resolver = Arc<dyn Fn(&[Write<'_, [u8]>]) -> Option<Vec<u8>> + Send + Sync>;

/// The resolvers of a space, by the prefix of the keys that each is for.
#[derive(Default)]
pub(super) struct Resolvers(Mutex<BTreeMap<Vec<u8>, Resolver>>);

impl Resolvers {
    pub(super) fn is_empty(&self) -> bool {
        lock(&self.0).is_empty()
    }

    /// That of the longest prefix.
    fn of(&self, key: &[u8]) -> Option<Resolver> {
        let set = lock(&self.0);
        // Of the prefixes of one key the longer one is the greater one.
        let mut below = set.range::<[u8], _>((Bound::Unbounded, Bound::Included(key))).rev();
        below.find(|(prefix, _)| key.starts_with(prefix)).map(|(_, resolver)| resolver.clone())
    }
}

/// What a resolver made of the siblings of a key, and the siblings.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resolved {
    /// The one value.
    pub value: Vec<u8>,
    /// What it was made of.
    pub siblings: Siblings,
}

impl Resolved {
    /// The context with which the value is written back: it replaces what it was made of,
    /// and nothing that came since.
    #[must_use]
    pub fn context(&self) -> &ReadContext {
        self.siblings.context()
    }
}

impl Siblings {
    /// What the function makes of the siblings: `None` where there are none, or where it does
    /// not decide. A single value needs no deciding, and is the answer. Nothing is written.
    ///
    /// The siblings come in order of their dots, the same at every replica, so a
    /// function that looks at nothing else gives the same answer everywhere.
    /// [`resolvers`](super::resolvers) has ready-made ones.
    pub fn resolve(
        &self,
        resolver: impl FnOnce(&[Write<'_, [u8]>]) -> Option<Vec<u8>>,
    ) -> Option<Vec<u8>> {
        match self.entries().collect::<Vec<_>>().as_slice() {
            [] => None,
            [one] => Some(one.value.to_vec()),
            siblings => resolver(siblings),
        }
    }
}

impl Space {
    /// Sets what [`get_resolved`](Self::get_resolved) makes of the siblings of keys that start
    /// so; of several prefixes the longest counts. Takes the place of the one set before.
    ///
    /// A resolver is a function, so it is kept in memory, for all handles of this space, and
    /// must be set each time the store is opened, at every replica the same. It must look at
    /// nothing but the siblings it is given, so that all replicas come to one answer.
    /// `None` means that it does not decide: then the application must.
    ///
    /// ```
    /// use rejoin::{Store, space::{Replacing, resolvers}};
    /// let space = Store::in_memory().space("main")?;
    /// space.set_resolver("", resolvers::latest);
    /// space.set_resolver("stock/", resolvers::greatest(|value| {
    ///     std::str::from_utf8(value).ok()?.parse::<u64>().ok()
    /// }));
    ///
    /// space.put("stock/nails", "700", None)?;
    /// space.put("stock/nails", "50", Replacing::Nothing)?; // as if made elsewhere
    /// let stock = space.get_resolved("stock/nails")?.expect("something is there");
    /// assert_eq!(stock.value, b"700");
    ///
    /// // The siblings stay until the application writes.
    /// assert_eq!(space.get("stock/nails")?.len(), 2);
    /// space.put("stock/nails", &stock.value, stock.context())?;
    /// assert_eq!(space.get("stock/nails")?.len(), 1);
    /// # Ok::<(), rejoin::Error>(())
    /// ```
    pub fn set_resolver(
        &self,
        prefix: impl AsRef<[u8]>,
        resolver: impl Fn(&[Write<'_, [u8]>]) -> Option<Vec<u8>> + Send + Sync + 'static,
    ) {
        let resolver: Resolver = Arc::new(resolver);
        lock(&self.shared.resolvers.0).insert(prefix.as_ref().to_vec(), resolver);
    }

    /// Takes away what was set for exactly this prefix; whether anything was.
    pub fn unset_resolver(&self, prefix: impl AsRef<[u8]>) -> bool {
        lock(&self.shared.resolvers.0).remove(prefix.as_ref()).is_some()
    }

    /// The one value that the resolver of the key makes of its siblings; `None` where
    /// nothing lives. Nothing is written.
    ///
    /// # Errors
    /// No resolver is set for the key, or it does not decide; the key cannot be, or the
    /// storage failed.
    pub fn get_resolved(&self, key: impl AsRef<[u8]>) -> Result<Option<Resolved>, Error> {
        self.resolve(self.get(key)?)
    }

    /// The same for siblings that were read from a snapshot or in a transaction.
    ///
    /// # Errors
    /// No resolver is set for their key, or it does not decide.
    pub fn resolve(&self, siblings: Siblings) -> Result<Option<Resolved>, Error> {
        let key = siblings.context().key();
        let Some(resolver) = self.shared.resolvers.of(key) else {
            return Err(UsageError::NoResolver { key: shown(key) }.into());
        };
        if siblings.is_empty() {
            return Ok(None);
        }
        let resolved = match fault!(ResolverNotDeterministic) {
            true => siblings.resolve(|all| {
                let mut all = all.to_vec();
                all.sort_by_key(|one| one.dot.replica != self.replica());
                resolver(&all)
            }),
            false => siblings.resolve(&*resolver),
        };
        match resolved {
            Some(value) => Ok(Some(Resolved { value, siblings })),
            None => {
                let (key, siblings) = (shown(key), siblings.len());
                Err(UsageError::Unresolved { key, siblings }.into())
            }
        }
    }
}

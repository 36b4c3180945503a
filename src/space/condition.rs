//! Writes that happen only where the caller's picture of a key is still true.

use super::handles::{ReadContext, Replacing, Siblings};
use super::space::Space;
use super::tx::{Tx, Writes};
use crate::error::Error;

/// What must hold of a key for a conditional write to happen.
///
/// It is decided **at this replica**, in the transaction that writes: of two threads or two
/// sessions at one store never both win. It is no lock on the other replicas. Two of them,
/// apart, may both find their condition true, and both write. Then nothing is lost: when
/// they meet, the key has two siblings, and the application decides, as after any
/// concurrent write.
///
/// ```
/// use rejoin::{Store, space::{Condition, Outcome}};
/// # use rejoin::session::{Scope, Session};
/// # fn meet(a: &Store, b: &Store) -> Result<(), rejoin::Error> {
/// #     let mut left = Session::connect(a, Scope::All, [1; 16])?;
/// #     let mut right = Session::accept(b, [2; 16]);
/// #     while !(left.is_over() && right.is_over()) {
/// #         while let Some(frame) = left.poll_frame(0)? { right.handle_frame(0, &frame)? }
/// #         while let Some(frame) = right.poll_frame(0)? { left.handle_frame(0, &frame)? }
/// #     }
/// #     Ok(())
/// # }
/// let (desk, phone) = (Store::in_memory(), Store::in_memory());
/// let (at_desk, on_phone) = (desk.space("hall")?, phone.space("hall")?);
///
/// // Here one wins, and the other one is told what stands there.
/// assert!(at_desk.put_if("seat 7", "Ada", Condition::Absent)?.is_done());
/// let Outcome::Unmet { siblings, .. } = at_desk.put_if("seat 7", "Cem", Condition::Absent)?
/// else { panic!("taken") };
/// assert_eq!(siblings.values().next(), Some(&b"Ada"[..]));
///
/// // There, where nobody has heard of it, the seat is free.
/// assert!(on_phone.put_if("seat 7", "Ben", Condition::Absent)?.is_done());
///
/// // They meet: one seat, two siblings, at both.
/// meet(&desk, &phone)?;
/// let siblings = at_desk.get("seat 7")?;
/// assert_eq!(siblings.len(), 2);
/// assert_eq!(on_phone.get("seat 7")?, siblings);
///
/// // The application has a rule for it, and writes what it makes of the two, if it is
/// // still these two.
/// let first = siblings.values().min().unwrap_or_default();
/// assert!(at_desk.put_if("seat 7", first, siblings.context())?.is_done());
/// meet(&desk, &phone)?;
/// assert_eq!(on_phone.get("seat 7")?.values().collect::<Vec<_>>(), [b"Ada"]);
/// # Ok::<(), rejoin::Error>(())
/// ```
///
/// Where only one may ever succeed, let one replica decide, and the others ask it.
#[derive(Clone, Copy, Debug)]
pub enum Condition<'a> {
    /// Nothing lives under the key, of whatever type.
    Absent,
    /// A `get` of the key would return this very context: what was read is what stands
    /// there. Only opaque values have such tokens; what must hold of a set or a counter the
    /// closure of [`Space::write`] can look up itself, and fail where it does not.
    Unchanged(&'a ReadContext),
}

impl<'a> From<&'a ReadContext> for Condition<'a> {
    fn from(context: &'a ReadContext) -> Self {
        Self::Unchanged(context)
    }
}

impl Condition<'_> {
    /// What stands there, where that is not as it must be.
    fn unmet(self, tx: &Tx<'_>, key: &[u8]) -> Result<Option<Siblings>, Error> {
        let now = tx.get(key)?;
        let holds = match self {
            Self::Absent => now.is_empty() && tx.kinds(key)?.is_empty(),
            Self::Unchanged(context) => {
                let read = tx.change(|change| context.check(change, key))?;
                read.is_of(now.context().seen())
            }
        };
        Ok((!holds).then_some(now))
    }
}

/// What became of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a condition may not have held, and then nothing was written"]
pub enum Outcome<R> {
    /// Every condition held, and the write is done.
    Done(R),
    /// A condition did not hold, and nothing was written.
    Unmet {
        /// The first key of which it did not hold.
        key: Vec<u8>,
        /// The opaque values that stand there, with the context for another attempt.
        siblings: Siblings,
    },
}

impl<R> Outcome<R> {
    /// Whether it was written.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// What the write gave, where it was done.
    #[must_use]
    pub fn done(self) -> Option<R> {
        match self {
            Self::Done(result) => Some(result),
            Self::Unmet { .. } => None,
        }
    }
}

impl Tx<'_> {
    /// Writes a value in place of all that is here, if the condition holds of its key; else
    /// changes nothing, and the transaction goes on. Returns the context of what was written.
    ///
    /// # Errors
    /// As `put`: a context of another space or key, or one that names what this
    /// replica has not seen, is an error too, and no condition.
    pub fn put_if<'a>(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        condition: impl Into<Condition<'a>>,
    ) -> Result<Outcome<ReadContext>, Error> {
        let key = key.as_ref();
        if let Some(siblings) = condition.into().unmet(self, key)? {
            return Ok(Outcome::Unmet { key: key.to_vec(), siblings });
        }
        self.put(key, value, Replacing::Observed)?;
        Ok(Outcome::Done(self.get(key)?.context().clone()))
    }
}

impl Space {
    /// Writes a value in place of all that is here, if the condition holds of its key: see
    /// [`Condition`], which also tells what it does not promise. Returns the context of what
    /// was written, for the next write.
    ///
    /// ```
    /// # let space = rejoin::Store::in_memory().space("main")?;
    /// use rejoin::space::Outcome;
    /// // Counts, whoever else does so at this store.
    /// let mut read = space.get("visits")?;
    /// loop {
    ///     let text = read.values().next().unwrap_or(b"0");
    ///     let visits = std::str::from_utf8(text).ok().and_then(|n| n.parse().ok()).unwrap_or(0);
    ///     match space.put_if("visits", (visits + 1).to_string(), read.context())? {
    ///         Outcome::Done(_) => break,
    ///         Outcome::Unmet { siblings, .. } => read = siblings,
    ///     }
    /// }
    /// assert_eq!(space.get("visits")?.values().next(), Some(&b"1"[..]));
    /// # Ok::<(), rejoin::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Tx::put_if`], or the storage failed.
    pub fn put_if<'a>(
        &self,
        key: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
        condition: impl Into<Condition<'a>>,
    ) -> Result<Outcome<ReadContext>, Error> {
        self.write(|tx| tx.put_if(key, value, condition))
    }

    /// Runs a transaction if every condition holds of its key, all at one moment; else the
    /// closure is not called.
    ///
    /// ```
    /// # let space = rejoin::Store::in_memory().space("main")?;
    /// use rejoin::space::Condition;
    /// let hall = space.get("hall")?;
    /// let conditions = [("hall", hall.context().into()), ("seat 7", Condition::Absent)];
    /// let sold = space.write_if(conditions, |tx| {
    ///     tx.put("seat 7", "Ada", None)?;
    ///     tx.counter("sold").add(1)
    /// })?;
    /// assert!(sold.is_done());
    /// # Ok::<(), rejoin::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the closure returned; or a context is of another space or key, or names what
    /// this replica has not seen, or the storage failed.
    pub fn write_if<'a, K: AsRef<[u8]>, R, E: From<Error>>(
        &self,
        conditions: impl IntoIterator<Item = (K, Condition<'a>)>,
        work: impl FnOnce(&Tx<'_>) -> Result<R, E>,
    ) -> Result<Outcome<R>, E> {
        self.write(|tx| {
            for (key, condition) in conditions {
                let key = key.as_ref();
                if let Some(siblings) = condition.unmet(tx, key)? {
                    return Ok(Outcome::Unmet { key: key.to_vec(), siblings });
                }
            }
            work(tx).map(Outcome::Done)
        })
    }
}

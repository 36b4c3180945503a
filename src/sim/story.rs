//! What happened in a world, in words.

/// How much of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tells {
    Nothing,
    /// Who wrote what, who met whom, what was cut.
    Deeds,
    /// Each frame as well.
    Frames,
}

pub(super) struct Story {
    tells: Tells,
    lines: Vec<String>,
    /// Frames since the last line, by the link they were of.
    frames: Vec<(String, usize)>,
}

impl Story {
    pub(super) const fn new(tells: Tells) -> Self {
        Self { tells, lines: Vec::new(), frames: Vec::new() }
    }

    pub(super) fn is_told(&self) -> bool {
        self.tells != Tells::Nothing
    }

    pub(super) const fn tells_frames(&self) -> bool {
        matches!(self.tells, Tells::Frames)
    }

    pub(super) fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.tells != Tells::Nothing {
            self.tell_of_frames();
            self.lines.push(what());
        }
    }

    pub(super) fn tell_frame(&mut self, about: &str, what: impl FnOnce() -> String) {
        match self.tells {
            Tells::Nothing => {}
            Tells::Frames => self.lines.push(what()),
            Tells::Deeds => match self.frames.iter_mut().find(|(link, _)| link == about) {
                Some((_, count)) => *count += 1,
                None => self.frames.push((about.to_owned(), 1)),
            },
        }
    }

    fn tell_of_frames(&mut self) {
        for (about, count) in self.frames.drain(..) {
            let frames = if count == 1 { "a frame arrives" } else { "frames arrive" };
            let number = if count == 1 { String::new() } else { format!("{count} ") };
            self.lines.push(format!("{about}: {number}{frames}"));
        }
    }

    pub(super) fn into_lines(mut self) -> Vec<String> {
        self.tell_of_frames();
        self.lines
    }
}

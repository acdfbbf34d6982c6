//! The exercises there are.

use super::exercise::{Exercise, ExerciseError};

/// An exercise by its name, with the files of its folder.
macro_rules! exercise {
    ($name:literal) => { exercise!($name, []) };
    ($name:literal, [$($file:literal),*]) => {
        (
            $name,
            include_str!(concat!("../../../exercises/", $name, "/exercise.md")),
            &[
                ("start.sh", include_str!(concat!("../../../exercises/", $name, "/start.sh"))),
                $(($file, include_str!(concat!("../../../exercises/", $name, "/", $file)))),*
            ],
        )
    };
}

/// Name, text and files.
type Entry = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

const ALL: [Entry; 10] = [
    exercise!("checkout"),
    exercise!("ticket-sale"),
    exercise!("price-list"),
    exercise!("partner"),
    exercise!("reports"),
    exercise!("crowd"),
    exercise!("pictures"),
    exercise!("four-tills"),
    exercise!("month-end", ["limit.sh"]),
    exercise!("night-shift"),
];

/// Reads every exercise.
///
/// # Errors
/// There is none: a test reads them all.
pub fn all() -> Result<Vec<Exercise>, ExerciseError> {
    let mut out = Vec::new();
    for (name, text, files) in ALL {
        out.push(Exercise::parse(name, text, files)?);
    }
    Ok(out)
}

/// Returns the names.
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|(name, ..)| *name).collect()
}

/// Returns the exercise of that name; `None` if there is none.
///
/// # Errors
/// As [`all`].
pub fn find(wanted: &str) -> Result<Option<Exercise>, ExerciseError> {
    for (name, text, files) in ALL {
        if name == wanted {
            return Exercise::parse(name, text, files).map(Some);
        }
    }
    Ok(None)
}

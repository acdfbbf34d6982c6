//! The page, of runs that were made by hand.

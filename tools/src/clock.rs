//! The time that goes into an image.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use fs::Time;

/// The present, or the number of seconds in `SOURCE_DATE_EPOCH` where an image has to come out the same every time.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    epoch: Option<i64>,
}

impl Clock {
    /// Looks into the environment.
    pub(crate) fn new() -> Result<Self> {
        let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") else { return Ok(Self { epoch: None }) };
        let epoch = text.to_str().and_then(|text| text.parse().ok());
        Ok(Self { epoch: Some(epoch.context("SOURCE_DATE_EPOCH is no number of seconds")?) })
    }

    /// The number in `SOURCE_DATE_EPOCH`.
    pub(crate) fn epoch(&self) -> Option<i64> {
        self.epoch
    }

    /// What time it is.
    pub(crate) fn now(&self) -> Time {
        match self.epoch {
            Some(secs) => Time::new(secs, 0),
            None => {
                let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                Time::new(since.as_secs() as i64, since.subsec_nanos())
            }
        }
    }

    /// When a host file was changed, but never later than `SOURCE_DATE_EPOCH`.
    pub(crate) fn modified(&self, metadata: &Metadata) -> Time {
        let time = Time::new(metadata.mtime(), metadata.mtime_nsec() as u32);
        self.epoch.map_or(time, |secs| time.min(Time::new(secs, 0)))
    }
}

/// `YYYY-MM-DD hh:mm:ss` in UTC, by Howard Hinnant's days-to-civil arithmetic: years begin in March there, so that
/// the leap day is their last.
pub(crate) fn calendar(time: Time) -> String {
    let (days, second) = (time.secs.div_euclid(86_400), time.secs.rem_euclid(86_400));
    let from_march_0000 = days.saturating_add(719_468);
    let (era, day_of_era) = (from_march_0000.div_euclid(146_097), from_march_0000.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        let shown = |secs| calendar(Time::new(secs, 0));
        assert_eq!(shown(0), "1970-01-01 00:00:00");
        assert_eq!(shown(951_827_696), "2000-02-29 12:34:56");
        assert_eq!(shown(-1), "1969-12-31 23:59:59");
        assert_eq!(shown(1_577_836_800), "2020-01-01 00:00:00");
        // Whatever an image says.
        shown(i64::MAX);
        shown(i64::MIN);
    }
}

//! Times of requests, `YYYYMMDDTHHMMSSZ`, to and from epoch seconds by the proleptic Gregorian calendar.

/// A time in UTC, to the second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AmzDate {
    text: String,
    seconds: i64,
}

impl AmzDate {
    /// Reads the basic form of ISO 8601, exactly; None for anything else, also for a day that its month does not have.
    pub fn parse(text: &str) -> Option<AmzDate> {
        let bytes = text.as_bytes();
        if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
            return None;
        }
        let number = |from: usize, to: usize| {
            bytes[from..to].iter().try_fold(0i64, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
        };
        let (year, month, day) = (number(0, 4)?, number(4, 6)?, number(6, 8)?);
        let (hour, minute, second) = (number(9, 11)?, number(11, 13)?, number(13, 15)?);
        if hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
        let made = AmzDate::from_epoch_seconds(seconds);
        (made.text == text).then_some(made) // 31 February is another day when it is written again
    }

    /// The time of epoch seconds, from the year 0 to 9999.
    pub fn from_epoch_seconds(seconds: i64) -> AmzDate {
        let (days, rest) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
        AmzDate { text: format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z"), seconds }
    }

    /// As it is signed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// `YYYYMMDD`.
    pub fn day(&self) -> &str {
        &self.text[..8]
    }

    /// Epoch seconds.
    pub fn epoch_seconds(&self) -> i64 {
        self.seconds
    }
}

/// Days since 1970-01-01, counted in eras of 400 years that begin in March, so that leap days come last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        for (text, seconds) in [
            ("19700101T000000Z", 0),
            ("20150830T123600Z", 1_440_938_160),
            ("20000229T235959Z", 951_868_799),
            ("20240229T000000Z", 1_709_164_800),
            ("99991231T235959Z", 253_402_300_799),
        ] {
            let date = AmzDate::parse(text).unwrap();
            assert_eq!(date.epoch_seconds(), seconds);
            assert_eq!(AmzDate::from_epoch_seconds(seconds).text(), text);
            assert_eq!(date.day(), &text[..8]);
        }
    }

    #[test]
    fn every_day_there_and_back() {
        for day in -1000..80_000 {
            let date = AmzDate::from_epoch_seconds(day * 86_400 + 1);
            assert_eq!(AmzDate::parse(date.text()), Some(date));
        }
    }

    #[test]
    fn nothing_else_is_a_time() {
        for text in [
            "",
            "20150830T123600",
            "20150830t123600Z",
            "20150830T123600z",
            "2015-08-30T12:36:00Z",
            "20150231T000000Z",
            "20150830T240000Z",
            "20150830T126000Z",
            "20150830T123660Z",
            "20151330T000000Z",
            "20150800T000000Z",
            "+0150830T123600Z",
            "20150830T12360０Z",
            "Mon, 30 Aug 2015 12:36:00 GMT",
        ] {
            assert_eq!(AmzDate::parse(text), None, "{text}");
        }
    }
}

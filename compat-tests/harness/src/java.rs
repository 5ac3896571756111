//! Java: class paths resolved by Maven from small project files, drivers compiled by `javac`, both kept below
//! `target/compat/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{cache, command, workspace};

/// Programs that everything here needs.
pub const PROGRAMS: [&str; 3] = ["java", "javac", "mvn"];

/// Keeps a short-lived Java program from spending its time on optimising itself.
pub const QUICK_START: &str = "-XX:TieredStopAtLevel=1";

const FETCH_LIMIT: Duration = Duration::from_secs(15 * 60);
const COMPILE_LIMIT: Duration = Duration::from_secs(5 * 60);

/// The class path of the Maven project in `folder` (one with a `pom.xml`), fetched on first use.
pub fn class_path(folder: &Path) -> Result<String> {
    let pom = folder.join("pom.xml");
    let name = folder
        .file_name()
        .with_context(|| format!("{} has no name", folder.display()))?;
    let kept = workspace::compat("java").join("class-path").join(name);
    let list = kept.join("class-path.txt");
    let key = || cache::Key::default().files(&pom);
    cache::build(&kept, &key()?, |_| resolve(&pom, &list))?;
    let text = read(&list)?;
    if std::env::split_paths(&text).all(|jar| jar.is_file()) {
        return Ok(text);
    }
    // The local Maven repository was emptied since.
    cache::build(&kept, &key()?.text("again"), |_| resolve(&pom, &list))?;
    read(&list)
}

fn read(list: &Path) -> Result<String> {
    let text =
        fs::read_to_string(list).with_context(|| format!("cannot read {}", list.display()))?;
    Ok(text.trim().to_owned())
}

fn resolve(pom: &Path, list: &Path) -> Result<()> {
    command::run(
        Command::new("mvn")
            .args(["--batch-mode", "--quiet", "--file"])
            .arg(pom)
            .arg("dependency:build-classpath")
            .arg(format!("-Dmdep.outputFile={}", list.display())),
        FETCH_LIMIT,
    )
    .with_context(|| format!("cannot resolve {}", pom.display()))?;
    if fs::metadata(list).map_or(0, |metadata| metadata.len()) == 0 {
        bail!("Maven found nothing for {}", pom.display());
    }
    Ok(())
}

/// Compiles all `.java` files below `sources` into `target/compat/java/classes/<name>`; answers that folder.
pub fn compile(name: &str, sources: &[PathBuf], class_path: &str) -> Result<PathBuf> {
    let kept = workspace::compat("java").join("classes").join(name);
    let classes = kept.join("classes");
    let mut key = cache::Key::default().text(class_path);
    let mut files = Vec::new();
    for folder in sources {
        key = key.files(folder)?;
        let java = |file: &PathBuf| {
            file.extension()
                .is_some_and(|extension| extension == "java")
        };
        files.extend(cache::files_below(folder)?.into_iter().filter(java));
    }
    cache::build(&kept, &key, |_| {
        if classes.exists() {
            fs::remove_dir_all(&classes)?;
        }
        fs::create_dir_all(&classes)?;
        command::run(
            Command::new("javac")
                .args([
                    "-encoding",
                    "UTF-8",
                    "-proc:none",
                    "-Xlint:-options",
                    "-cp",
                    class_path,
                ])
                .arg("-d")
                .arg(&classes)
                .args(&files),
            COMPILE_LIMIT,
        )
        .with_context(|| format!("cannot compile {name}"))?;
        Ok(())
    })?;
    Ok(classes)
}

/// A `java` command with the class path given, whose home folder (logs, local offsets) is `home`.
pub fn java(class_path: &str, home: &Path, heap_mib: u32) -> Command {
    let mut command = Command::new("java");
    command
        .arg(format!("-Xmx{heap_mib}m"))
        .arg("-XX:+UseSerialGC")
        .arg(format!("-Duser.home={}", home.display()))
        .args(["-cp", class_path]);
    command
}

/// The class path entry with the logging configuration of RocketMQ 5 programs: warnings only, to standard error. It
/// must come first.
pub fn logging() -> String {
    workspace::suites()
        .join("java")
        .join("logging")
        .display()
        .to_string()
}

/// Joins class path entries.
pub fn join(entries: &[&str]) -> String {
    entries.join(":")
}

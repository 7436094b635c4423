//! The demo, as a newcomer runs it.

use anyhow::Result;

use crate::rig::reclaimer;

#[tokio::test]
async fn the_demo_crawls_the_documentation_in_spite_of_chaos_and_proves_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let words = ["demo", "--chaos", "0.4", "--pace", "20ms", "--seed", "7"];
    let said = reclaimer(folder.path(), &[], &words).await?.expect(0);
    assert!(
        said.contains("✔ each page was crawled exactly once as far as the job table is concerned"),
        "{said}"
    );
    assert!(said.contains("✔ nothing was lost"), "{said}");
    for what in ["killed", "stopped", "hung up", "recovered /docs/"] {
        assert!(said.contains(what), "{what}: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn the_demo_walks_a_folder_tree() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tree = folder.path().join("tree");
    for number in 0..10 {
        let below = tree.join(format!("{}/{number}", number % 3));
        std::fs::create_dir_all(&below)?;
        std::fs::write(below.join("file"), "text")?;
    }
    let words = ["demo", "--path", "tree", "--chaos", "0.2", "--pace", "10ms", "--keep", "kept"];
    let said = reclaimer(folder.path(), &[], &words).await?.expect(0);
    // The root, 3 folders, 10 folders in them, 10 files.
    let finished = said.lines().find(|line| line.contains("finished") && line.contains("24"));
    assert!(finished.is_some(), "{said}");
    assert!(folder.path().join("kept/data/reclaimer.db").exists());
    Ok(())
}

#[tokio::test]
async fn a_target_that_is_none_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let complaint = reclaimer(folder.path(), &[], &["demo", "--target", "ftp://x/"]).await?.complaint(1);
    assert!(complaint.contains("http or https"), "{complaint}");
    let complaint = reclaimer(folder.path(), &[], &["demo", "--path", "nowhere"]).await?.complaint(1);
    assert!(complaint.contains("cannot walk nowhere"), "{complaint}");
    std::fs::write(folder.path().join("file"), "text")?;
    let complaint = reclaimer(folder.path(), &[], &["demo", "--path", "file"]).await?.complaint(1);
    assert!(complaint.contains("cannot walk file: it is no folder"), "{complaint}");
    // Port 1 is nobody's: there is nothing to crawl, and no hour of failed visits is needed to find out.
    let words = ["demo", "--target", "http://127.0.0.1:1/", "--chaos", "0"];
    let complaint = reclaimer(folder.path(), &[], &words).await?.complaint(1);
    assert!(complaint.contains("cannot crawl http://127.0.0.1:1/"), "{complaint}");
    Ok(())
}

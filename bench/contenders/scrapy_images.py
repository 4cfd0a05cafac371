"""Scrapy's images pipeline in its one process, with its defaults but for the number of requests at a time.

It encodes every picture anew as a JPEG, and knows no other way; for bytes alone there is its files pipeline. It does
not check certificates, and asks for robots.txt only where a project says so.
"""

from collections.abc import AsyncIterator
from importlib import metadata
from pathlib import Path
from typing import Any

from bench.contending import Job, Outcome, aside
from bench.crawlers import in_files
from bench.names import install

LABEL = "Scrapy images pipeline"
_BATCH = 100  # URLs an item
_AT_A_TIME, _AT_A_TIME_WEB = 32, 256  # requests


def version() -> str:
    """As installed."""
    return metadata.version("scrapy")


def run(job: Job) -> Outcome:
    """Download a list."""
    install()
    import scrapy
    from scrapy.crawler import CrawlerProcess

    field = "file_urls" if job.task == "crawl-bytes" else "image_urls"
    urls, spent = Path(job.input).read_text().split(), list[float]()

    class Pictures(scrapy.Spider):
        name = "pictures"

        async def start(self) -> AsyncIterator[dict[str, list[str]]]:
            for at in range(0, len(urls), _BATCH):
                yield {field: urls[at : at + _BATCH]}

    out = Path(job.out) / "data"
    out.mkdir()
    process = CrawlerProcess(_settings(job, out))
    crawler = process.create_crawler(Pictures)
    process.crawl(crawler)
    process.start()
    with aside(spent):
        found = in_files(out / "thumbs" if job.task == "crawl-256" else out)
    statistics = crawler.stats.get_stats() if crawler.stats else {}
    reasons = {name.rpartition("/")[2]: n for name, n in statistics.items() if "exception_type_count" in name}
    return Outcome(found, reasons, "every picture encoded anew", aside=sum(spent))


def _settings(job: Job, out: Path) -> dict[str, Any]:
    web = job.options["site"] == "web"
    at_a_time = job.options.get("threads", _AT_A_TIME_WEB if web else _AT_A_TIME)
    chosen = {
        "CONCURRENT_REQUESTS": at_a_time,
        "CONCURRENT_REQUESTS_PER_DOMAIN": at_a_time,
        "CONCURRENT_ITEMS": at_a_time,
        "DOWNLOAD_DELAY": 0,
        "DOWNLOAD_TIMEOUT": job.options["timeout"],
        "RETRY_TIMES": job.options["attempts"] - 1,
        "LOG_LEVEL": "CRITICAL",
        "TELNETCONSOLE_ENABLED": False,
        "IMAGES_STORE": str(out),
        "FILES_STORE": str(out),
    }
    of = ("files", "Files") if job.task == "crawl-bytes" else ("images", "Images")
    chosen["ITEM_PIPELINES"] = {"scrapy.pipelines.{}.{}Pipeline".format(*of): 1}
    if job.task == "crawl":
        side = job.options["min_side"]
        chosen |= {"IMAGES_MIN_WIDTH": side, "IMAGES_MIN_HEIGHT": side}
    if job.task == "crawl-256":
        chosen["IMAGES_THUMBS"] = {"small": (256, 256)}
    return chosen
